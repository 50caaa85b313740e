//! A pinned view stays on its thread.

#![allow(unused_imports)]

use std::{cell::Cell, hash::BuildHasher, panic::RefUnwindSafe, rc::Rc};

use binlock::{Drain, HashMap, HashSet, IntoIter, Iter, IterMut, Pinned, PinnedSet, Ref, SetRef};

fn check<T: Send>() {}

pub fn main() {
    check::<HashSet<u8>>();
    check::<PinnedSet<'static, u8, ()>>(); //~ E0277
}
