//! Each allocation that a map can do without is refused, one after another: tables, overflow
//! blocks, and the lists of blocks that are made ahead of moving a bin.

use crate::{
    Map, check,
    common::{Hashers, within},
    counting::{Refused, refusing},
};

/// A map, and what is done with it while memory is refused.
struct Case {
    name: &'static str,
    /// Whether nothing else has lists than what moves bins.
    lists: bool,
    make: fn(Hashers) -> Map,
    run: fn(&Map),
}

/// So many, in a table that has room for some more.
fn filled(hasher: Hashers) -> Map {
    let map = Map::with_capacity_and_hasher(400, hasher);
    for key in 0..100 {
        map.insert(key, key);
    }
    map
}

/// The same with a transfer to a larger table begun, of which one stride is done.
fn growing(hasher: Hashers) -> Map {
    let map = filled(hasher);
    map.reserve(3_000);
    map
}

/// The same in a large table.
fn large(hasher: Hashers) -> Map {
    let map = Map::with_capacity_and_hasher(9_000, hasher);
    for key in 0..100 {
        map.insert(key, key);
    }
    map
}

/// A table of the smallest size that is shrunk to, with a transfer to a larger one begun.
fn growing_from_large(hasher: Hashers) -> Map {
    let map = Map::with_capacity_and_hasher(5_000, hasher);
    for key in 0..100 {
        map.insert(key, key);
    }
    map.reserve(9_000);
    map
}

const CASES: [Case; 8] = [
    Case {
        name: "the first table is reserved",
        lists: true,
        make: Map::with_hasher,
        run: |map| drop(map.try_reserve(1_000)),
    },
    Case {
        name: "a larger table is reserved",
        lists: true,
        make: filled,
        run: |map| drop(map.try_reserve(6_000)),
    },
    Case {
        name: "a larger table is reserved in the middle of a transfer",
        lists: true,
        make: growing,
        run: |map| drop(map.try_reserve(9_000)),
    },
    Case { name: "the table shrinks", lists: true, make: large, run: |map| map.shrink_to_fit() },
    Case {
        name: "the table shrinks in the middle of a transfer to a larger one",
        lists: true,
        make: growing_from_large,
        run: |map| map.shrink_to_fit(),
    },
    Case {
        name: "a small table shrinks",
        lists: true,
        make: |hasher| {
            let map = Map::with_capacity_and_hasher(400, hasher);
            (0..20).for_each(|key| drop(map.insert(key, key)));
            map
        },
        run: |map| map.shrink_to_fit(),
    },
    Case {
        name: "writes go on with a transfer",
        lists: false,
        make: growing,
        run: |map| {
            // Several times round all bins, and nothing is inserted.
            (0..80).for_each(|_| assert!(map.remove(&u64::MAX).is_none()));
        },
    },
    Case {
        name: "writes go on with a transfer, and then it is completed",
        lists: false,
        make: growing_from_large,
        run: |map| {
            (0..20).for_each(|_| assert!(map.replace(u64::MAX, 0).is_none()));
            drop(map.try_reserve(20_000));
            map.shrink_to_fit();
        },
    },
];

#[test]
fn whichever_allocation_is_refused_the_map_has_everything_and_grows_and_shrinks_afterwards() {
    within(240, || {
        for Case { name, lists, make, run } in CASES {
            let mut refusals = 0;
            for hasher in [Hashers::Good(1), Hashers::FewBits(4), Hashers::Constant] {
                for all_after in [false, true] {
                    let mut n = 0;
                    loop {
                        let map = make(hasher);
                        let entries = map.len() as u64;
                        let which = Refused { all_after, lists };
                        let refused = refusing(n, which, || run(&map));
                        check(&map, entries);
                        // When there is memory again, all goes on from wherever it stopped.
                        assert_eq!(map.try_reserve(6_000), Ok(()), "{name}, {hasher:?}, {n}");
                        assert!(map.capacity() >= 6_000);
                        map.shrink_to_fit();
                        assert!(map.capacity() < 6_000, "{name}, {hasher:?}, {n}");
                        for key in entries..entries + 50 {
                            assert!(map.insert(key, key).is_none());
                        }
                        check(&map, entries + 50);
                        if !refused {
                            break;
                        }
                        refusals += 1;
                        // Where there are many, not all of them.
                        n += 1 + n / 20;
                    }
                }
            }
            assert!(refusals > 2, "{name}: nothing can be refused");
        }
    });
}

#[test]
fn a_reservation_that_is_refused_its_table_or_its_blocks_says_so() {
    within(60, || {
        // A table, where there is none or a transfer is to begin; blocks and lists, where a
        // transfer has to end before another one can begin.
        let makes: [fn(Hashers) -> Map; 3] = [Map::with_hasher, filled, growing];
        for make in makes {
            for hasher in [Hashers::Good(1), Hashers::Constant] {
                let map = make(hasher);
                let entries = map.len() as u64;
                let refused = refusing(0, Refused { all_after: true, lists: true }, || {
                    let error = map.try_reserve(50_000).unwrap_err();
                    assert!(error.to_string().contains("bytes"), "{error}");
                });
                assert!(refused);
                check(&map, entries);
            }
        }
    });
}
