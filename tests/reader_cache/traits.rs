//! What the types can do: sending, cloning, printing, telling errors apart.

use std::{
    cell::Cell, convert::Infallible, error::Error, fmt, io, panic::AssertUnwindSafe, rc::Rc,
    sync::Arc,
};

use binlock::{
    ReaderCache,
    readers::{
        Builder, CloseCause, Closed, ConfigError, InsertError, Iter, Loading, OpenError, Removed,
        Stats, WhenFull,
    },
};

use crate::{
    A, B, Cache, Held,
    shelf::{ALL_CAUSES, Reader, Shelf, seconds, throws},
};

fn is_shared<T: Send + Sync>() {}
fn is_sent<T: Send>() {}
fn is_static<T: Send + Sync + Clone + 'static>() {}
fn is_error<T: Error + Send + Sync + 'static>() {}

#[test]
fn caches_handles_and_errors_can_be_sent_and_shared() {
    is_static::<Cache>();
    is_static::<Held>();
    is_static::<ReaderCache<String, io::Error>>();
    is_static::<Stats>();
    is_shared::<Closed<u64, Reader>>();
    is_static::<Removed>();
    is_error::<OpenError<io::Error>>();
    is_error::<OpenError<Infallible>>();
    is_error::<OpenError<Loading>>();
    is_error::<InsertError<Reader>>();
    is_error::<ConfigError>();
    is_error::<Loading>();
    is_sent::<Builder<u64, Reader>>();
    // (What cannot is in `tests/compile_fail`, and in the next test.)
}

#[test]
fn keys_and_readers_that_cannot_be_sent_can_be_kept_on_one_thread() {
    let cache: ReaderCache<Rc<str>, Cell<u32>> =
        ReaderCache::builder().max_open(2).build().unwrap();
    let open = |_: &Rc<str>| Ok::<_, Infallible>(Cell::new(1));
    let held = cache.get_or_open("a".into(), open).unwrap();
    held.set(held.get() + 1);
    assert_eq!(cache.get("a").unwrap().get(), 2);
    drop(cache.get_or_open("b".into(), open).unwrap());
    drop(held);
    assert_eq!(cache.clear().closed, 2);
}

#[test]
fn a_clone_of_a_cache_is_the_same_cache() {
    let shelf = Shelf::with_room(2);
    let clone = shelf.cache.clone();
    shelf.open_idle([A]);
    assert_eq!(clone.get(&A).unwrap().number, 0);
    clone.remove(&A);
    assert!(shelf.is_empty());
    assert_eq!(clone.stats(), shelf.stats());
}

#[test]
fn a_handle_is_its_reader_and_knows_its_key() {
    let cache: ReaderCache<String, String> = ReaderCache::builder().build().unwrap();
    let held = cache.insert("key".into(), "reader".into()).unwrap();
    assert_eq!((held.len(), held.as_ref().as_str(), held.key().as_str()), (6, "reader", "key"));
    assert_eq!(format!("{held:?}"), r#"Handle { key: "key", reader: "reader" }"#);
    assert!(!held.is_detached());
}

#[test]
fn caches_iterators_and_builders_print_without_their_readers() {
    let shelf = Shelf::with_room(3);
    shelf.open_idle([A, B]);
    assert_eq!(format!("{:?}", shelf.cache), "ReaderCache { len: 2, .. }");
    assert_eq!(format!("{:?}", shelf.iter()), "Iter { .. }");
    let builder = ReaderCache::<u64, Reader>::builder().max_open(3).when_full(WhenFull::Fail);
    let expected = "Builder { max_open: Some(3), max_weight: None, when_full: Fail, .. }";
    assert_eq!(format!("{builder:?}"), expected);
}

#[test]
fn an_iterator_ends_for_good_and_its_handles_outlive_it() {
    let shelf = Shelf::with_room(10);
    shelf.open_idle(0..5);
    let mut iter: Iter<'_, u64, Reader> = shelf.iter();
    let handles: Vec<_> = iter.by_ref().collect();
    assert!(iter.next().is_none() && iter.next().is_none());
    drop(iter);
    shelf.clear();
    assert_eq!(handles.len(), 5);
    assert!(handles.iter().all(|held| held.read() == *held.key()));
    assert_eq!(shelf.book.closed(), 0);
    drop(handles);
    shelf.book.assert_all_closed();
}

/// An error with a cause.
#[derive(Debug)]
struct Chained(io::Error);

impl fmt::Display for Chained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no archive")
    }
}

impl Error for Chained {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn the_error_of_an_opening_is_in_what_is_returned_and_told_once() {
    let shelf = Shelf::with_room(1);
    let missing = || io::Error::new(io::ErrorKind::NotFound, "no object 7");
    let error = shelf.get_or_open(A, |_| Err(missing())).unwrap_err();
    assert_eq!(error.failed().unwrap().kind(), io::ErrorKind::NotFound);
    // A report of all sources tells nothing twice, and leaves out nothing.
    assert!(error.source().is_none());
    let chained = shelf.get_or_open(A, |_| Err(Chained(missing()))).unwrap_err();
    assert_eq!(chained.to_string(), "the reader could not be opened: no archive");
    assert_eq!(chained.source().unwrap().to_string(), "no object 7");
    assert!(chained.source().unwrap().source().is_none());
    assert_eq!(error.to_string(), "the reader could not be opened: no object 7");
    let clone = error.clone();
    let [OpenError::Failed(one), OpenError::Failed(two)] = [&error, &clone] else { panic!() };
    assert!(Arc::ptr_eq(one, two));
    assert!(format!("{error:?}").starts_with("Failed("));
}

#[test]
fn errors_say_what_went_wrong() {
    let shelf = Shelf::new(|builder| builder.max_open(1).when_full(WhenFull::Fail));
    let recursive = shelf.get_or_open(A, |_| shelf.try_open(A).map(|_| unreachable!()));
    let recursive = recursive.unwrap_err().failed().unwrap().clone();
    let held = shelf.open(A);
    let full = shelf.try_open(B).unwrap_err();
    let not_inserted = shelf.insert(B, shelf.reader(B)).unwrap_err();
    shelf.close(seconds(0));
    let closed = shelf.try_open(A).unwrap_err();
    let too_late = shelf.insert(B, shelf.reader(B)).unwrap_err();
    for (error, text, debug) in [
        (&recursive, "while it was being opened", "Recursive("),
        (&full, "all of them are in use", "Full"),
        (&closed, "has been closed", "Closed"),
    ] {
        assert!(error.to_string().contains(text), "{error}");
        assert!(format!("{error:?}").starts_with(debug), "{error:?}");
        assert!(error.failed().is_none());
        assert!(error.source().is_none());
        assert_eq!(format!("{:?}", error.clone()), format!("{error:?}"));
    }
    assert!(not_inserted.to_string().contains("all of them are in use"));
    assert!(too_late.to_string().contains("has been closed"));
    assert_eq!(format!("{too_late:?}"), "InsertError { is_closed: true, .. }");
    drop(held);
}

#[test]
fn causes_are_told_in_different_words() {
    let texts: std::collections::BTreeSet<_> = ALL_CAUSES.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), ALL_CAUSES.len());
    assert_eq!(CloseCause::Expired.to_string(), "expired");
}

#[test]
fn the_error_of_a_loader_passes_through() {
    let builder = ReaderCache::builder()
        .loader(|_: &u64| Err::<(), _>(io::Error::new(io::ErrorKind::NotFound, "no object 7")));
    let cache = builder.build().unwrap();
    let error = cache.get_or_load(&A).unwrap_err();
    let loading = error.failed().unwrap();
    assert_eq!(loading.to_string(), "no object 7");
    assert!(format!("{loading:?}").contains("NotFound"));
}

#[test]
fn a_cache_may_be_used_after_a_panic_on_another_thread() {
    let shelf = Shelf::with_room(2);
    let clone = shelf.clone();
    let panicked = std::thread::spawn(move || {
        std::panic::catch_unwind(AssertUnwindSafe(|| {
            assert!(
                throws(|| clone.get_or_open(A, |_| -> Result<_, ()> { crate::shelf::throw() }))
            );
        }))
        .is_ok()
    });
    assert!(panicked.join().unwrap());
    shelf.open_idle([A, B]);
    assert_eq!(shelf.len(), 2);
    shelf.assert_adds_up();
}
