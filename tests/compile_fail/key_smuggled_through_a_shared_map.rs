//! A map of `'static` keys is not one of shorter-lived ones: others would find those.

use binlock::HashMap;

fn insert<'s>(map: &HashMap<&'s str, u8>, key: &'s str) {
    map.insert(key, 1);
}

pub fn smuggle(map: &HashMap<&'static str, u8>, key: &str) {
    insert(map, key); //~ E0521
    assert!(!map.contains_key(key));
}

pub fn main() {
    smuggle(&HashMap::new(), "key");
}
