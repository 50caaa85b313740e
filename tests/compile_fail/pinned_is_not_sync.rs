//! A pinned view stays on its thread.

#![allow(unused_imports)]

use std::{cell::Cell, hash::BuildHasher, panic::RefUnwindSafe, rc::Rc};

use binlock::{Drain, HashMap, HashSet, IntoIter, Iter, IterMut, Pinned, PinnedSet, Ref, SetRef};

fn check<T: Sync>() {}

pub fn main() {
    check::<HashMap<u8, u8>>();
    check::<Pinned<'static, u8, u8, ()>>(); //~ E0277
}
