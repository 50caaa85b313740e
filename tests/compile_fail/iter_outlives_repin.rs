//! An iterator is gone when its view pins anew.

use binlock::HashSet;

pub fn main() {
    let set = HashSet::from([1, 2]);
    let mut pinned = set.pin();
    let mut keys = pinned.iter();
    pinned.repin(); //~ E0502
    assert!(keys.next().is_some());
    pinned.repin();
}
