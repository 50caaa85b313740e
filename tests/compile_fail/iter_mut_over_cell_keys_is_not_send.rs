//! An iterator that lends keys can be sent only if those can be shared.

#![allow(unused_imports)]

use std::{cell::Cell, hash::BuildHasher, panic::RefUnwindSafe, rc::Rc};

use binlock::{Drain, HashMap, HashSet, IntoIter, Iter, IterMut, Pinned, PinnedSet, Ref, SetRef};

fn check<T: Send>() {}

pub fn main() {
    check::<IterMut<'static, u8, Cell<u8>>>();
    check::<IterMut<'static, Cell<u8>, u8>>(); //~ E0277
}
