//! Nobody writes to values in place while there is a view.

use binlock::HashMap;

pub fn main() {
    let mut map = HashMap::from([(1, 'a')]);
    let pinned = map.pin();
    map.values_mut().for_each(|value| *value = 'b'); //~ E0502
    assert_eq!(pinned.len(), 1);
    drop(pinned);
    map.iter_mut();
}
