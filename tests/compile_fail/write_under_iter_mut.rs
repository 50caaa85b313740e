//! Nobody uses the map while its values are lent for writing.

use binlock::HashMap;

pub fn main() {
    let mut map = HashMap::from([(1, 'a')]);
    let mut values = map.values_mut();
    map.insert(1, 'b'); //~ E0502
    *values.next().unwrap() = 'c';
}
