//! Values that cannot be sent keep their map from being sent.

#![allow(unused_imports)]

use std::{cell::Cell, hash::BuildHasher, panic::RefUnwindSafe, rc::Rc};

use binlock::{Drain, HashMap, HashSet, IntoIter, Iter, IterMut, Pinned, PinnedSet, Ref, SetRef};

fn check<T: Send>() {}

pub fn main() {
    check::<HashMap<u8, u8>>();
    check::<HashMap<u8, Rc<u8>>>(); //~ E0277
}
