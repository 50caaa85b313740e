//! Nobody writes to a value in place while it is lent.

use binlock::HashMap;

pub fn main() {
    let mut map = HashMap::from([(1, 'a')]);
    let entry = map.get(&1).unwrap();
    *map.get_mut(&1).unwrap() = 'b'; //~ E0502
    assert_eq!(*entry, 'a');
    map.iter_mut();
}
