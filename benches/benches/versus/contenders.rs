//! Filled maps whose types are erased, so that they can stand in one list. A slice costs one
//! virtual call; the loop behind it is the map's own.

use std::time::Duration;

use crate::common::computations;
use crate::common::keys::Window;
use crate::common::maps::{Compute, Map};
use crate::common::work;
use crate::crowded::tidied;
use crate::threads::{self, Crowd, Load, Work};

/// A filled map to read from one thread.
pub trait Reader {
    fn gets(&self, keys: Window<'_>) -> Duration;
}

impl<M: Map> Reader for M {
    fn gets(&self, keys: Window<'_>) -> Duration {
        work::gets(self, keys)
    }
}

/// A filled map to read and write from several threads.
pub trait Shared {
    fn replacements(&self, keys: Window<'_>) -> Duration;

    fn crowd(&self, load: Load, crowd: &Crowd<'_>) -> Work;
}

impl<M: Map + Sync> Shared for M {
    fn replacements(&self, keys: Window<'_>) -> Duration {
        work::replacements(self, keys)
    }

    fn crowd(&self, load: Load, crowd: &Crowd<'_>) -> Work {
        let work = threads::run(self, load, crowd);
        match load {
            Load::Reads => work,
            Load::Replacements | Load::Mixed => tidied(work, self),
        }
    }
}

/// A filled map to read, and to compute what is there, from one thread.
pub trait Computer: Reader {
    fn computations(&self, keys: Window<'_>) -> Duration;
}

impl<M: Compute> Computer for M {
    fn computations(&self, keys: Window<'_>) -> Duration {
        computations::present(self, keys)
    }
}

/// A contender that has yet to be built.
pub struct Entry<C: ?Sized> {
    pub name: &'static str,
    /// Builds the map with so many entries.
    pub build: Box<dyn Fn(usize) -> Box<C>>,
}

impl<C: ?Sized> Entry<C> {
    pub fn new(name: &'static str, build: impl Fn(usize) -> Box<C> + 'static) -> Self {
        Self { name, build: Box::new(build) }
    }
}

impl Entry<dyn Reader> {
    pub fn reader<M: Map>() -> Self {
        Self::new(M::NAME, |entries| Box::new(work::filled::<M>(entries)))
    }
}

impl Entry<dyn Computer> {
    pub fn computer<M: Compute>() -> Self {
        Self::new(M::NAME, |entries| Box::new(work::filled::<M>(entries)))
    }
}

impl Entry<dyn Shared> {
    pub fn shared<M: Map + Sync>() -> Self {
        Self::new(M::NAME, |entries| Box::new(work::filled::<M>(entries)))
    }
}
