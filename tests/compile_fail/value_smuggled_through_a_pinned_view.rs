//! A view of `'static` values is not one of shorter-lived ones.

use binlock::{HashMap, Pinned};

fn insert<'s, S: std::hash::BuildHasher>(view: &Pinned<'_, u8, &'s str, S>, value: &'s str) {
    view.insert(1, value);
}

pub fn smuggle(map: &HashMap<u8, &'static str>, value: &str) {
    insert(&map.pin(), value); //~ E0521
    assert!(value.is_empty());
}

pub fn main() {
    smuggle(&HashMap::new(), "");
}
