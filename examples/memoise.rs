//! Functions that remember their results in one shared map, and call each other.
//!
//! ```text
//! cargo run --release --example memoise
//! ```
//!
//! This is how the nested caching of a web framework works: every method looks its result up in a
//! cache first, computes it if it is absent, and may call other cached methods meanwhile. Where a
//! computation locks more than its own key (a bin, a shard), such calls deadlock as soon as two keys
//! happen to share it. Here they cannot, whatever the hashes: the second run below gives all keys
//! the same one.

use std::{
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    process::ExitCode,
    thread,
    time::Instant,
};

use binlock::{ComputeError, HashMap, RecursiveUpdate};

/// What can be asked for, all in one cache.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Question {
    /// The number of ways to pay an amount in the first so many coins.
    Ways {
        amount: usize,
        coins: usize,
    },
    Fibonacci(u64),
    /// The price of an article, and of a basket of some.
    Price(&'static str),
    Basket(Vec<&'static str>),
    /// An article that is sold for as much as the basket that it is in.
    Paradox,
}

type Cache<S> = HashMap<Question, u64, S>;

const COINS: [usize; 6] = [1, 2, 5, 10, 20, 50];

/// The answer, from the cache or computed once for all threads that want it.
fn answer<S: BuildHasher>(
    cache: &Cache<S>,
    question: Question,
) -> Result<u64, ComputeError<String>> {
    let computed = cache.try_compute_if_absent(question, |question| {
        let ask = |question| answer(cache, question).map_err(|error| error.to_string());
        match question {
            Question::Ways { amount: 0, .. } => Ok(1),
            Question::Ways { coins: 0, .. } => Ok(0),
            &Question::Ways { amount, coins } => {
                let without = ask(Question::Ways { amount, coins: coins - 1 })?;
                match amount.checked_sub(COINS[coins - 1]) {
                    Some(rest) => Ok(without + ask(Question::Ways { amount: rest, coins })?),
                    None => Ok(without),
                }
            }
            &Question::Fibonacci(n) if n < 2 => Ok(n),
            &Question::Fibonacci(n) => {
                Ok(ask(Question::Fibonacci(n - 1))? + ask(Question::Fibonacci(n - 2))?)
            }
            Question::Price("tea") => Ok(3),
            Question::Price("cake") => Ok(2 * ask(Question::Price("tea"))?),
            Question::Price(article) => Err(format!("nobody sells {article}")),
            Question::Basket(articles) => {
                articles.iter().map(|article| ask(Question::Price(article))).sum()
            }
            Question::Paradox => Ok(1 + ask(Question::Paradox)?),
        }
    });
    Ok(*computed?)
}

/// What everybody asks for, with what must come out.
fn questions() -> Vec<(Question, u64)> {
    vec![
        (Question::Fibonacci(90), 2_880_067_194_370_816_120),
        (Question::Ways { amount: 200, coins: COINS.len() }, 69_118),
        (Question::Basket(vec!["tea", "cake", "tea"]), 12),
        (Question::Price("cake"), 6),
    ]
}

/// Has so many threads ask everything at once, and checks what they are told.
fn run<S: BuildHasher + Default + Sync>(threads: usize) -> Result<usize, String> {
    let cache = Cache::with_hasher(S::default());
    thread::scope(|scope| {
        let asking: Vec<_> = (0..threads)
            .map(|thread| {
                let cache = &cache;
                scope.spawn(move || {
                    let mut questions = questions();
                    // Each begins with another one.
                    questions.rotate_left(thread % 4);
                    for (question, right) in questions {
                        let told = answer(cache, question.clone()).map_err(|e| e.to_string())?;
                        if told != right {
                            return Err(format!("{question:?} is {right}, and not {told}"));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        asking.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => Err("a thread panicked".to_string()),
        })
    })?;

    // What cannot be computed says why, and is not remembered.
    for question in [Question::Basket(vec!["tea", "unicorn"]), Question::Paradox] {
        match answer(&cache, question.clone()) {
            Ok(told) => return Err(format!("{question:?} has no answer, and not {told}")),
            Err(_) if cache.contains_key(&question) => {
                return Err(format!("{question:?} is remembered"));
            }
            Err(_) => {}
        }
    }
    Ok(cache.len())
}

/// Gives all keys one hash.
#[derive(Default)]
struct Colliding;

impl Hasher for Colliding {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, _: &[u8]) {}
}

fn main() -> ExitCode {
    let threads = 2 * thread::available_parallelism().map_or(1, |cores| cores.get());
    let runs = [
        ("random hashes", run::<ahash::RandomState> as fn(usize) -> _),
        ("one hash for all", run::<BuildHasherDefault<Colliding>>),
    ];
    for (hashes, run) in runs {
        let start = Instant::now();
        match run(threads) {
            Ok(remembered) => println!(
                "{hashes}: {threads} threads agree, {remembered} results remembered, {:.1} ms",
                start.elapsed().as_secs_f64() * 1e3,
            ),
            Err(problem) => {
                eprintln!("memoise: {hashes}: {problem}");
                return ExitCode::FAILURE;
            }
        }
    }
    // What a computation is told that needs itself.
    let itself: HashMap<&str, u64> = HashMap::new();
    let refused: Result<_, RecursiveUpdate> = itself.compute_if_absent("key", |_| {
        let inner = itself.compute_if_absent("key", |_| 1);
        println!("\nA computation that asks for its own key is told:\n  {}", inner.unwrap_err());
        2
    });
    if refused.is_ok_and(|value| *value == 2) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_remember_and_call_each_other_agree_in_parallel() {
        for threads in [1, 2, 8, 32] {
            assert!(run::<ahash::RandomState>(threads).unwrap() > 90);
        }
    }

    #[test]
    fn they_do_so_when_all_keys_collide() {
        for threads in [1, 8] {
            run::<BuildHasherDefault<Colliding>>(threads).unwrap();
        }
    }

    #[test]
    fn a_function_that_needs_its_own_result_is_told_so() {
        let cache = Cache::<ahash::RandomState>::default();
        let error = answer(&cache, Question::Paradox).unwrap_err();
        assert!(error.to_string().contains("recursive update"), "{error}");
        assert!(cache.is_empty());
    }
}
