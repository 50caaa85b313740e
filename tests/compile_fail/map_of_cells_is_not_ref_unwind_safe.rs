//! Values that a panic can leave broken can be seen through a map.

#![allow(unused_imports)]

use std::{cell::Cell, hash::BuildHasher, panic::RefUnwindSafe, rc::Rc};

use binlock::{Drain, HashMap, HashSet, IntoIter, Iter, IterMut, Pinned, PinnedSet, Ref, SetRef};

fn check<T: RefUnwindSafe>() {}

pub fn main() {
    check::<HashMap<u8, u8>>();
    check::<HashMap<u8, Cell<u8>>>(); //~ E0277
}
