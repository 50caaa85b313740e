//! What a closure is asked about does not leave it.

use binlock::HashMap;

pub fn main() {
    let map = HashMap::from([(1, 'a')]);
    let mut kept: Option<&i32> = None;
    map.retain(|key, _| {
        kept = Some(key); //~ E0521
        *key > 1
    });
    assert!(kept.is_none());
}
