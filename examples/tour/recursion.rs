//! Chapter "recursion": computations that need each other, or themselves.
//!
//! Each scene is one that hangs, panics or loses data in other concurrent maps. All keys have the
//! same hash here, so that whatever a map locks beside the key, it locks for all of them.

use std::{
    fmt::Write,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use binlock::{HashMap, RecursiveUpdate};

use crate::format;

/// Gives all keys one hash.
#[derive(Default)]
struct Colliding;

impl Hasher for Colliding {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, _: &[u8]) {}
}

type Map = HashMap<u64, u64, BuildHasherDefault<Colliding>>;

type Result<T> = std::result::Result<T, String>;

/// A scene: what happens, and who says what came of it.
struct Scene {
    what: &'static str,
    play: fn() -> Result<String>,
}

const SCENES: [Scene; 7] = [
    Scene { what: "a computation inside another one, 100 deep", play: nested },
    Scene { what: "a computation that needs its own key", play: own_key },
    Scene { what: "a computation that inserts its own key", play: own_insertion },
    Scene { what: "a computation that makes the map grow", play: growth },
    Scene { what: "two threads that need each other's keys", play: cycle },
    Scene { what: "a slow computation, and who does not wait for it", play: slow },
    Scene { what: "recursive Fibonacci, remembered, by 8 threads", play: fibonacci },
];

/// A scene that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// Plays all scenes and reports.
pub fn run() -> Result<String> {
    let mut report = String::from("\nRecursion, all keys with the same hash\n");
    for Scene { what, play } in SCENES {
        let start = Instant::now();
        let (sender, result) = mpsc::channel();
        // On a thread of its own: one that hangs could not be given up otherwise.
        thread::spawn(move || sender.send(play()));
        let outcome = result
            .recv_timeout(LIMIT)
            .map_err(|_| format!("{what}: no end after {} s", LIMIT.as_secs()))?
            .map_err(|problem| format!("{what}: {problem}"))?;
        let time = start.elapsed().as_secs_f64() * 1e3;
        let _ = writeln!(report, "  {what:<50} {outcome:<52} {time:>6.1} ms");
    }
    Ok(report)
}

fn check(right: bool, wrong: impl Into<String>) -> Result<()> {
    if right { Ok(()) } else { Err(wrong.into()) }
}

fn text(error: RecursiveUpdate) -> String {
    error.to_string()
}

fn nested() -> Result<String> {
    fn compute(map: &Map, key: u64) -> std::result::Result<u64, RecursiveUpdate> {
        if key == 100 {
            return Ok(0);
        }
        let value = map
            .try_compute_if_absent(key, |_| Ok::<_, RecursiveUpdate>(compute(map, key + 1)? + 1));
        Ok(*value?)
    }
    let map = Map::default();
    let value = compute(&map, 0).map_err(text)?;
    check(value == 100 && map.len() == 100, format!("{value}, {} entries", map.len()))?;
    Ok("all 100 present".to_string())
}

fn own_key() -> Result<String> {
    let map = Map::default();
    let mut refused = false;
    let outer = map.compute_if_absent(1, |_| {
        refused = map.compute_if_absent(1, |_| 3).is_err_and(|error| error.is_own_key());
        2
    });
    let outer = *outer.map_err(text)?;
    check(refused && outer == 2 && map.len() == 1, "not refused, or not stored")?;
    Ok("the inner one is refused, the outer one stored".to_string())
}

fn own_insertion() -> Result<String> {
    let map = Map::default();
    let outer = map.compute_if_absent(1, |_| {
        map.insert(1, 99);
        2
    });
    check(outer.is_err_and(|error| error.is_overtaken()), "not told")?;
    check(map.get(&1).is_some_and(|value| *value == 99) && map.len() == 1, "99 is lost")?;
    Ok("the insertion stands, the computation is told".to_string())
}

fn growth() -> Result<String> {
    let map = Map::default();
    map.compute_if_absent(0, |_| {
        (1..1_000).for_each(|key| drop(map.insert(key, key)));
        0
    })
    .map_err(text)?;
    check(map.len() == 1_000 && (0..1_000).all(|key| map.contains_key(&key)), "entries lost")?;
    Ok(format!("all {} present", format::grouped(map.len() as u64)))
}

fn cycle() -> Result<String> {
    let map = &Map::default();
    let both_claimed = &Barrier::new(2);
    let needs = |mine: u64, other: u64| {
        let mut refused = None;
        let outer = map.compute_if_absent(mine, |_| {
            both_claimed.wait();
            match map.compute_if_absent(other, |_| 0) {
                Ok(value) => *value + 1,
                Err(error) => {
                    refused = error.cycle_len();
                    10
                }
            }
        });
        outer.map(|value| (*value, refused)).map_err(text)
    };
    let results = thread::scope(|scope| {
        let threads = [(1, 2), (2, 1)].map(|(a, b)| scope.spawn(move || needs(a, b)));
        threads.map(|thread| thread.join().unwrap_or(Err("a thread panicked".to_string())))
    });
    let [one, two] = results;
    let mut results = [one?, two?];
    results.sort();
    check(results == [(10, Some(2)), (11, None)], format!("{results:?}"))?;
    Ok("one is refused (a cycle of 2), the other goes on".to_string())
}

fn slow() -> Result<String> {
    let map = &Map::default();
    let (claimed, others_done) = (&Barrier::new(2), &Barrier::new(2));
    thread::scope(|scope| {
        let computing = scope.spawn(move || {
            map.compute_if_absent(1, |_| {
                claimed.wait();
                // It ends when the other one has done everything else with the map.
                others_done.wait();
                7
            })
            .map(|value| *value)
        });
        claimed.wait();
        (2..100).for_each(|key| drop(map.insert(key, key)));
        (2..50).for_each(|key| drop(map.remove(&key)));
        let absent = map.get(&1).is_none();
        let iterated = map.pin().iter().count();
        others_done.wait();
        let value = computing.join().map_err(|_| "a thread panicked")?.map_err(text)?;
        check(absent && iterated == 50 && value == 7 && map.len() == 51, "entries are missing")
    })?;
    Ok("146 writes, reads and an iteration meanwhile".to_string())
}

fn fibonacci() -> Result<String> {
    static COMPUTED: AtomicUsize = AtomicUsize::new(0);
    fn remembered(map: &Map, n: u64) -> std::result::Result<u64, String> {
        if n < 2 {
            return Ok(n);
        }
        let compute = |_: &u64| {
            COMPUTED.fetch_add(1, Ordering::Relaxed);
            Ok(remembered(map, n - 1)? + remembered(map, n - 2)?)
        };
        map.try_compute_if_absent(n, compute)
            .map(|value| *value)
            .map_err(|error: binlock::ComputeError<String>| error.to_string())
    }
    let map = &Map::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| remembered(map, 90))).collect();
        threads.into_iter().try_for_each(|thread| {
            let value = thread.join().map_err(|_| "a thread panicked")??;
            check(value == 2_880_067_194_370_816_120, format!("it is not {value}"))
        })
    })?;
    let computed = COMPUTED.swap(0, Ordering::Relaxed);
    check(map.len() == 89 && computed == 89, format!("{} entries of {computed}", map.len()))?;
    Ok("F(90) is right, each number computed once".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scenes_end_as_they_should() {
        let report = run().unwrap();
        assert_eq!(report.lines().count(), 2 + SCENES.len());
    }
}
