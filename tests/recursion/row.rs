//! A scenario of one computation, and how it is checked in all variants.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
};

use crate::{
    A, B, D, T, X,
    api::{Api, Way},
    world::{VARIANTS, Variant, World},
};

/// How a closure ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Returns,
    Fails,
    Panics,
}

/// A scenario.
pub struct Row {
    pub before: Vec<(u64, u64)>,
    /// What is computed, by each of these methods.
    pub key: u64,
    pub ways: &'static [Way],
    /// What the closure does, and then returns.
    pub inner: fn(&World<'_>),
    pub end: Option<u64>,
    /// Whether the computation is overtaken by what the closure does.
    pub overtaken: bool,
    pub after: Vec<(u64, u64)>,
    /// What is there if the closure fails or panics at its end.
    pub after_failure: Vec<(u64, u64)>,
}

/// Thrown to order.
struct Thrown;

impl Row {
    pub fn holds(&self) {
        self.check(Ending::Returns);
    }

    pub fn check(&self, ending: Ending) {
        for variant in VARIANTS {
            for pinned in [false, true] {
                for way in self.ways {
                    let present = self.before.iter().any(|(key, _)| *key == self.key);
                    // To return nothing is to remove where the key is present.
                    let can_fail = *way != Way::IfAbsent && !present;
                    if ending == Ending::Returns || ending == Ending::Panics || can_fail {
                        println!("{variant:?}, pinned: {pinned}, {way:?}, {ending:?}");
                        self.check_one(variant, pinned, *way, ending);
                    }
                }
            }
        }
    }

    fn check_one(&self, variant: Variant, pinned: bool, way: Way, ending: Ending) {
        let map = variant.map();
        for (key, value) in &self.before {
            map.insert(*key, *value);
        }
        let pin = pinned.then(|| map.pin());
        let api: &dyn Api = match &pin {
            Some(pin) => pin,
            None => &map,
        };
        let world = World { map: &map, api, variant, fillers: Cell::default() };
        let value_before = world.api.get(self.key);
        let capacity = map.capacity();
        let mut runs = 0;
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            api.decide(way, self.key, &mut |current| {
                assert_eq!(current, value_before);
                runs += 1;
                world.amid(|| (self.inner)(&world));
                match ending {
                    Ending::Returns => self.end,
                    Ending::Fails => None,
                    Ending::Panics => panic::resume_unwind(Box::new(Thrown)),
                }
            })
        }));
        assert_eq!(runs, 1);
        match result {
            Err(payload) => {
                if ending != Ending::Panics || !payload.is::<Thrown>() {
                    panic::resume_unwind(payload);
                }
            }
            Ok(Ok(value)) => {
                assert_ne!(ending, Ending::Panics);
                // What fails or is dropped has no result that could be withheld.
                assert!(!self.overtaken || ending == Ending::Fails, "it was overtaken");
                assert_eq!(value, if ending == Ending::Returns { self.end } else { None });
            }
            Ok(Err(error)) => {
                assert!(self.overtaken, "{error}");
                assert!(error.is_overtaken() && error.is_own_key(), "{error:?}");
                assert_eq!(error.cycle_len(), None);
            }
        }
        let after = if ending == Ending::Returns { &self.after } else { &self.after_failure };
        world.assert_is(after);
        if variant.grows() {
            assert!(map.capacity() > capacity, "it has not grown");
        }
        self.assert_works(&world, after);
    }

    /// Nothing of the computation is left behind.
    fn assert_works(&self, world: &World<'_>, after: &[(u64, u64)]) {
        for key in [self.key, A, B, D, T, X, 77] {
            let before = world.api.get(key);
            assert_eq!(world.decide(Way::Compute, key, 5), Ok(Some(5)));
            assert_eq!(world.api.insert(key, 6), Some(5));
            assert_eq!(world.api.remove(key), Some(6));
            assert_eq!(world.decide(Way::IfAbsent, key, 7), Ok(Some(7)));
            match before {
                Some(value) => assert_eq!(world.api.replace(key, value), Some(7)),
                None => assert_eq!(world.api.remove(key), Some(7)),
            }
        }
        if world.variant.grows() {
            world.grow();
        }
        world.assert_is(after);
    }
}
