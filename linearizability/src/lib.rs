//! Every operation is linearizable per key: checked on recorded histories.
//!
//! A [`Scenario`], made up from a seed, says what each of two to eight threads does to a few keys
//! of a map. A [`Crew`] of threads runs it, and each operation notes down what its caller
//! could see of it, and when it was called and had returned: a history. For every key, the checker
//! of the crate `todc-utils` (Wing and Gong's algorithm with Lowe's memory of what has been tried)
//! looks for an order of the operations that explains all of it.
//!
//! What is random twice is how the threads meet: a seed gives the same scenario again, but not
//! the same history. `cargo run --release -p binlock-linearizability -- --replay SEED` runs one
//! scenario many times.

mod check;
mod crew;
mod jitter;
mod keys;
mod random;
mod record;
mod scenario;
mod subject;
mod trial;

pub use check::Violation;
pub use crew::{Crew, explore, repeat};
pub use jitter::pause;
pub use keys::{Hashing, Key};
pub use random::Random;
pub use record::{Event, Fact, Recorder};
pub use scenario::{Decision, MOST_THREADS, Operation, Scenario, Step, Use};
pub use subject::{Map, Subject};
pub use trial::Trial;
