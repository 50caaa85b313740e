//! What an iterator has yielded does not outlive the view.

use binlock::HashMap;

pub fn main() {
    let map = HashMap::from([(1, 'a')]);
    let pinned = map.pin();
    let keys: Vec<&i32> = pinned.keys().collect();
    drop(pinned); //~ E0505
    assert_eq!(*keys[0], 1);
}
