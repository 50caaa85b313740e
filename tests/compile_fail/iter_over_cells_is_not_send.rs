//! An iterator lends entries, so it can be sent only if those can be shared.

#![allow(unused_imports)]

use std::{cell::Cell, hash::BuildHasher, panic::RefUnwindSafe, rc::Rc};

use binlock::{Drain, HashMap, HashSet, IntoIter, Iter, IterMut, Pinned, PinnedSet, Ref, SetRef};

fn check<T: Send>() {}

pub fn main() {
    check::<Iter<'static, u8, u8>>();
    check::<Iter<'static, u8, Cell<u8>>>(); //~ E0277
}
