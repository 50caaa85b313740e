//! The reader cache: what its documentation promises, row by row, on readers that notice when
//! they are used or closed after they have been closed.

#[path = "../common/mod.rs"]
mod common;

mod acquire;
mod asynchronous;
mod cancellation;
mod closing;
mod config;
mod dropping;
mod expiry;
mod failing;
mod failures;
mod found;
mod found_async;
mod found_later;
mod full;
mod full_async;
mod hostile;
mod in_use;
mod loading;
mod loading_async;
mod opening;
mod panicking;
mod recursion;
mod reentry;
mod refresh;
mod shelf;
mod shutdown;
mod shutdown_async;
mod stats;
mod stress;
#[path = "../common/executor.rs"]
mod task;
mod traits;
mod wakers;
mod weights;

use std::convert::Infallible;

use binlock::{Handle, ReaderCache, readers::OpenError};
use common::Hashers;

use shelf::Reader;

type Cache = ReaderCache<u64, Reader, Hashers>;
type Held = Handle<u64, Reader>;
type Opened<E = Infallible> = Result<Held, OpenError<E>>;

const A: u64 = 1;
const B: u64 = 2;
const D: u64 = 3;
