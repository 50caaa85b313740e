//! What a pinned view has found does not outlive the view.

use binlock::HashMap;

pub fn main() {
    let map = HashMap::from([(1, 'a')]);
    let pinned = map.pin();
    let value: &char = pinned.get(&1).unwrap();
    drop(pinned); //~ E0505
    assert_eq!(*value, 'a');
}
