//! Nobody consumes the map while an entry is lent.

use binlock::HashMap;

pub fn main() {
    let map = HashMap::from([(1, 'a')]);
    let entry = map.get(&1).unwrap();
    map.into_iter(); //~ E0505
    assert_eq!(*entry, 'a');
}
