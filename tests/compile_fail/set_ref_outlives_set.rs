//! A `SetRef` does not outlive its set.

use binlock::HashSet;

pub fn main() {
    let set = HashSet::from([1]);
    let key = set.get(&1).unwrap();
    drop(set); //~ E0505
    assert_eq!(*key, 1);
}
