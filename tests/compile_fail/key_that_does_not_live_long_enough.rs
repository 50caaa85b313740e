//! A map of borrowed keys takes none that is gone before the map.

use binlock::HashMap;

pub fn main() {
    let map: HashMap<&str, u8> = HashMap::new();
    {
        let key = String::from("short");
        map.insert(key.as_str(), 1); //~ E0597
    }
    assert_eq!(map.len(), 0);
}
