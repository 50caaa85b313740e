//! A shared map takes and drops entries on any thread, so `Sync` ones are not enough.

#![allow(unused_imports)]

use std::{cell::Cell, hash::BuildHasher, panic::RefUnwindSafe, rc::Rc};

use binlock::{Drain, HashMap, HashSet, IntoIter, Iter, IterMut, Pinned, PinnedSet, Ref, SetRef};

fn check<T: Sync>() {}

pub fn main() {
    check::<HashMap<u8, &'static u8>>();
    check::<HashMap<u8, std::sync::MutexGuard<'static, u8>>>(); //~ E0277
}
