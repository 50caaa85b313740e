//! Keys that cannot be sent keep their set from being sent.

#![allow(unused_imports)]

use std::{cell::Cell, hash::BuildHasher, panic::RefUnwindSafe, rc::Rc};

use binlock::{Drain, HashMap, HashSet, IntoIter, Iter, IterMut, Pinned, PinnedSet, Ref, SetRef};

fn check<T: Send>() {}

pub fn main() {
    check::<HashSet<u8>>();
    check::<HashSet<Rc<u8>>>(); //~ E0277
}
