//! What was in the way of a `try_insert` does not outlive the view.

use binlock::HashMap;

pub fn main() {
    let map = HashMap::from([(1, 'a')]);
    let pinned = map.pin();
    let error = pinned.try_insert(1, 'b').unwrap_err();
    drop(pinned); //~ E0505
    assert_eq!(*error.current, 'a');
}
