//! A map of what cannot be shared cannot be shared.

#![allow(unused_imports)]

use std::{cell::Cell, hash::BuildHasher, panic::RefUnwindSafe, rc::Rc};

use binlock::{Drain, HashMap, HashSet, IntoIter, Iter, IterMut, Pinned, PinnedSet, Ref, SetRef};

fn check<T: Sync>() {}

pub fn main() {
    check::<HashMap<u8, u8>>();
    check::<HashMap<Rc<u8>, u8>>(); //~ E0277
}
