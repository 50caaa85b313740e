//! Computations by futures: single flight, cancellation, recursion and cycles, on tokio and
//! on an executor that polls when it should not, forgets wakers, and drops what it likes.

#[path = "../common/mod.rs"]
mod common;

mod blocking;
mod cancellation;
mod cycles;
#[path = "../common/executor.rs"]
mod executor;
mod failures;
mod hostile;
mod single_flight;
mod wakers;
mod writes;

use std::future::Future;

use binlock::{HashMap, RecursiveUpdate};
use common::Hashers;

type Map = HashMap<u64, u64, Hashers>;

const A: u64 = 1;
const B: u64 = 2;
const D: u64 = 3;

fn map() -> Map {
    HashMap::with_hasher(Hashers::Constant)
}

async fn compute<F>(map: &Map, key: u64, future: F) -> Result<u64, RecursiveUpdate>
where
    F: Future<Output = u64>,
{
    map.compute_if_absent_async(key, |_| future).await.map(|value| *value)
}

async fn never(map: &Map, key: u64) -> Result<u64, RecursiveUpdate> {
    compute(map, key, async { panic!("the future for {key} runs") }).await
}

fn is_own(result: &Result<u64, RecursiveUpdate>) -> bool {
    result.as_ref().is_err_and(|error| error.is_own_key() && !error.is_overtaken())
}

fn is_cycle(result: &Result<u64, RecursiveUpdate>, length: usize) -> bool {
    let asked = |error: &RecursiveUpdate| !error.is_overtaken() && !error.is_own_key();
    result.as_ref().is_err_and(|error| asked(error) && error.cycle_len() == Some(length))
}
