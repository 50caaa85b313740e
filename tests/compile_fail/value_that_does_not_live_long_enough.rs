//! A map of borrowed values takes none that is gone before the map.

use binlock::HashMap;

pub fn main() {
    let map: HashMap<u8, &String> = HashMap::new();
    {
        let value = String::from("short");
        map.pin().insert(1, &value); //~ E0597
    }
    assert_eq!(map.len(), 0);
}
