//! An iterator that owns entries can be sent only if those can.

#![allow(unused_imports)]

use std::{cell::Cell, hash::BuildHasher, panic::RefUnwindSafe, rc::Rc};

use binlock::{Drain, HashMap, HashSet, IntoIter, Iter, IterMut, Pinned, PinnedSet, Ref, SetRef};

fn check<T: Send>() {}

pub fn main() {
    check::<Drain<'static, u8, u8>>();
    check::<Drain<'static, Rc<u8>, u8>>(); //~ E0277
}
