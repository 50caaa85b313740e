//! Nobody takes the map apart while there is a view.

use binlock::HashMap;

pub fn main() {
    let mut map = HashMap::from([(1, 'a')]);
    let pinned = map.pin();
    let value = pinned.get(&1);
    map.drain(); //~ E0502
    assert!(value.is_some());
    map.drain();
}
