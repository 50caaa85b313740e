//! A map drops its values, so what those use in their `Drop` must outlive the map.

use binlock::HashMap;

struct Value<'a>(&'a String);

impl Drop for Value<'_> {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}

pub fn main() {
    let map: HashMap<u8, Value<'_>> = HashMap::new();
    let text = String::from("dropped before the map");
    map.insert(1, Value(&text)); //~ E0597
}
