//! What a pinned view has removed does not outlive the view.

use binlock::HashMap;

pub fn main() {
    let map = HashMap::from([(1, 'a')]);
    let pinned = map.pin();
    let (key, value): (&i32, &char) = pinned.remove_entry(&1).unwrap();
    drop(pinned); //~ E0505
    assert_eq!((*key, *value), (1, 'a'));
}
