//! The process that is traced: two threads that do the same operations, one after the other.

use std::hint::black_box;
use std::io::{self, Write};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::common::keys;
use crate::common::maps::{
    Binlock, BinlockEach, DashMap, Flurry, Map, Papaya, PapayaEach, SccIndex, SccIndexEach, SccMap,
    Session, Sharded,
};
use crate::common::work::{self, WRITES_PER_SESSION};

/// Small, as what is counted does not depend on it, and each access takes a line of the trace.
const ENTRIES: usize = 1 << 11;

/// How many operations are counted, and as many come before, to warm up what is lazy.
const COUNTED: usize = 1 << 9;

/// How far a stack reaches below and above where a thread begins.
const STACK: Around = Around { below: 1 << 20, above: 1 << 16 };

/// So many bytes around an address.
struct Around {
    below: u64,
    above: u64,
}

/// What has no map and does nothing, to know what the loop around the operations costs.
pub const NOTHING: &str = "nothing";

pub struct Operation {
    pub name: &'static str,
}

pub const OPERATIONS: [Operation; 4] = [
    Operation { name: "get" },
    Operation { name: "get_miss" },
    Operation { name: "update" },
    Operation { name: "insert_remove" },
];

pub struct Contender {
    pub name: &'static str,
    run: fn(&str),
}

impl Contender {
    const fn of<M: Map + Sync>() -> Self {
        Self { name: M::NAME, run: trace::<M> }
    }
}

pub const CONTENDERS: [Contender; 10] = [
    Contender::of::<Binlock>(),
    Contender::of::<BinlockEach>(),
    Contender::of::<Papaya>(),
    Contender::of::<PapayaEach>(),
    Contender::of::<Flurry>(),
    Contender::of::<SccIndex>(),
    Contender::of::<SccIndexEach>(),
    Contender::of::<SccMap>(),
    Contender::of::<DashMap>(),
    Contender::of::<Sharded>(),
];

/// What the trace shows of where the process is: each is a write to a line of its own.
#[derive(Clone, Copy)]
pub enum Mark {
    First,
    Second,
    Operation,
    End,
}

impl Mark {
    pub const ALL: [Self; 4] = [Self::First, Self::Second, Self::Operation, Self::End];

    /// Orders all accesses around it, for the compiler as well.
    #[inline(always)]
    fn set(self) {
        MARKS[self as usize].0.swap(1, Ordering::SeqCst);
    }
}

#[repr(align(64))]
struct Line(AtomicU64);

static MARKS: [Line; 4] = [const { Line(AtomicU64::new(0)) }; 4];

pub fn run(map: &str, operation: &str) {
    match CONTENDERS.iter().find(|contender| contender.name == map) {
        Some(contender) => (contender.run)(operation),
        None => trace_threads(&[(); COUNTED].map(|()| 0), |keys, _| {
            for key in keys {
                Mark::Operation.set();
                black_box(key);
            }
        }),
    }
}

fn trace<M: Map + Sync>(operation: &str) {
    // Not `work::filled`, which checks more than one wants to see traced.
    let (map, present) = (M::new(), keys::present(ENTRIES));
    work::insert_all_new(&map, &present);
    work::settle(&map, &present);
    let absent = keys::present(ENTRIES * 2).split_off(ENTRIES);
    let keys = if matches!(operation, "get" | "update") { present } else { absent };
    let keys = &keys[..2 * COUNTED];
    // One loop for each operation, so that none pays for being told which it is.
    match operation {
        "get" | "get_miss" => trace_loop(&map, keys, |session, key| {
            black_box(session.get(key));
        }),
        "update" => trace_loop(&map, keys, |session, key| {
            assert!(session.update(key, !key), "{} lost a key", M::NAME);
        }),
        _ => trace_loop(&map, keys, |session, key| {
            assert!(session.insert_new(*key, !key), "{} has a key", M::NAME);
            assert!(session.remove(key), "{} lost a key", M::NAME);
        }),
    }
}

fn trace_loop<'m, M: Map + Sync>(
    map: &'m M,
    keys: &[u64],
    operation: impl Fn(&M::Session<'m>, &u64) + Sync,
) {
    trace_threads(keys, |keys, marked| {
        for chunk in keys.chunks(WRITES_PER_SESSION) {
            let session = map.session();
            for key in chunk {
                if marked {
                    Mark::Operation.set();
                }
                operation(&session, key);
            }
        }
    });
}

/// Has two threads work on the second half of the keys, one after the other, when each has warmed
/// up with the first half.
fn trace_threads(keys: &[u64], work: impl Fn(&[u64], bool) + Sync) {
    let (first, second) = keys.split_at(keys.len() / 2);
    // The second thread takes them from the end.
    let backwards: Vec<u64> = second.iter().rev().copied().collect();
    let turns = [(Mark::First, second), (Mark::Second, backwards.as_slice())];
    let barrier = Barrier::new(3);
    thread::scope(|scope| {
        for (mark, keys) in turns {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                let local = 0_u8;
                say_ignored(&raw const local as u64, &STACK);
                let keys_alone = Around { below: 0, above: size_of_val(keys) as u64 };
                say_ignored(keys.as_ptr() as u64, &keys_alone);
                // Everybody has spoken.
                barrier.wait();
                for turn in [Mark::First, Mark::Second] {
                    // The process has been told to go on, or the other thread has had its turn.
                    barrier.wait();
                    if turn as usize == mark as usize {
                        work(first, false);
                        mark.set();
                        work(keys, true);
                        Mark::End.set();
                    }
                }
                barrier.wait();
            });
        }
        barrier.wait();
        println!("marks {:x}\ngo", MARKS.as_ptr() as u64);
        io::stdout().flush().expect("somebody listens");
        io::stdin().read_line(&mut String::new()).expect("somebody speaks");
        (0..3).for_each(|_| _ = barrier.wait());
    });
}

fn say_ignored(address: u64, Around { below, above }: &Around) {
    println!("ignore {:x} {:x}", address - below, address + above);
}
