//! A `Ref` does not outlive its map.

use binlock::HashMap;

pub fn main() {
    let map = HashMap::from([(1, 'a')]);
    let entry = map.get(&1).unwrap();
    drop(map); //~ E0505
    assert_eq!(*entry, 'a');
}
