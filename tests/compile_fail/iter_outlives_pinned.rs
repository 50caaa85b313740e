//! An iterator does not outlive the view that it was made by.

use binlock::HashMap;

pub fn main() {
    let map = HashMap::from([(1, 'a')]);
    let pinned = map.pin();
    let mut entries = pinned.iter();
    drop(pinned); //~ E0505
    assert!(entries.next().is_some());
}
