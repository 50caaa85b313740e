//! A pinned view does not outlive its map.

use binlock::HashMap;

pub fn main() {
    let map = HashMap::from([(1, 'a')]);
    let pinned = map.pin();
    drop(map); //~ E0505
    assert_eq!(pinned.len(), 1);
}
