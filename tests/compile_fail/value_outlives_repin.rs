//! What a pinned view has found is gone when it pins anew.

use binlock::HashMap;

pub fn main() {
    let map = HashMap::from([(1, 'a')]);
    let mut pinned = map.pin();
    let value = pinned.get(&1).unwrap();
    pinned.repin(); //~ E0502
    assert_eq!(*value, 'a');
    pinned.repin();
}
