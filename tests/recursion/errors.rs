//! What errors say.

use binlock::{ComputeError, HashMap};

use crate::A;

#[test]
fn errors_say_what_has_happened_and_what_to_do() {
    let map = HashMap::new();
    let mut inner = None;
    map.compute_if_absent(A, |_| {
        inner = map.compute_if_absent(A, |_| 2).err();
        1
    })
    .unwrap();
    let own = inner.unwrap();
    for phrase in ["recursive update", "computing already", "Nothing was run"] {
        assert!(own.to_string().contains(phrase), "{own}");
    }
    let overtaken = map.compute(A, |_, _| {
        map.insert(A, 7);
        Some(8)
    });
    let overtaken = overtaken.unwrap_err();
    for phrase in ["recursive update", "was written to", "dropped"] {
        assert!(overtaken.to_string().contains(phrase), "{overtaken}");
    }
    assert_ne!(own, overtaken);
    assert!(format!("{own:?}").contains("own_key: true"), "{own:?}");
    let wrapped: ComputeError<String> = own.clone().into();
    assert_eq!(wrapped.to_string(), own.to_string());
    let failed = ComputeError::Closure("no network");
    assert!(failed.to_string().contains("no network"));
    assert!(failed.to_string().contains("could not be computed"));
}
