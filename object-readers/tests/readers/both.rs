//! What must be the same wherever the objects are.

use std::fs;
use std::sync::Arc;

use binlock::readers::CloseCause;
use object_readers::generate;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::stand::{MAX_OPEN, OBJECTS, SEED, Stand, assert_contents, open, within_patience};

macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_files {
            $(#[test]
            fn $test() {
                super::within_patience(async { super::$test(super::Stand::on_files().await).await });
            })*
        }

        mod on_s3 {
            $(#[test]
            fn $test() {
                super::within_patience(async { super::$test(super::Stand::on_s3().await).await });
            })*
        }
    };
}

on_both! {
    tasks_read_what_was_written_while_readers_are_evicted
    many_tasks_that_want_one_object_open_it_once
    a_missing_object_is_named_and_not_cached
    tasks_that_wait_for_a_missing_object_all_hear_of_it
    an_object_that_was_cut_is_named_and_not_cached
    a_damaged_index_is_named_and_not_cached
    a_damaged_file_spoils_no_other
    a_replaced_object_is_noticed_and_its_old_reader_closed_at_last
}

async fn tasks_read_what_was_written_while_readers_are_evicted(stand: Stand) {
    let mut tasks = JoinSet::new();
    for task in 0..6 {
        let (readers, source) = (stand.readers.clone(), Arc::clone(&stand.source));
        tasks.spawn(async move {
            let mut random = fastrand::Rng::with_seed(task);
            for _ in 0..60 {
                let object = random.usize(..OBJECTS);
                let reader = open(&readers, &source, object).await.unwrap();
                let nth = random.usize(..reader.entries().len());
                let contents = reader.read(nth).await.unwrap();
                assert_eq!(contents, generate::contents(SEED, object, nth));
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let stats = stand.readers.stats();
    assert!(stats.left(CloseCause::MaxOpen) > 0, "{stats:?}");
    assert!(stats.open <= MAX_OPEN as u64, "{stats:?}");
    assert_eq!(stats.in_use, 0);
    stand.finish().await;
}

async fn many_tasks_that_want_one_object_open_it_once(stand: Stand) {
    const TASKS: usize = 32;
    // A server answers only when all the tasks have come.
    stand.server.iter().for_each(|server| server.shut_gate());
    let all = Arc::new(Barrier::new(TASKS + 1));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (readers, source) = (stand.readers.clone(), Arc::clone(&stand.source));
        let all = Arc::clone(&all);
        tasks.spawn(async move {
            all.wait().await;
            assert_contents(&open(&readers, &source, 0).await.unwrap(), 0).await;
        });
    }
    all.wait().await;
    stand.server.iter().for_each(|server| server.open_gate());
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }

    let stats = stand.readers.stats();
    assert_eq!((stats.opened, stats.failed_opens), (1, 0), "{stats:?}");
    // Everybody else found the reader, be it finished or not.
    assert_eq!(stats.hits + stats.joined_opens, TASKS as u64 - 1, "{stats:?}");
    if let Some(server) = &stand.server {
        let object = generate::archive_name(0);
        assert_eq!(server.requests("HEAD", &object), 1);
        // One for the index, and one for each file that was read.
        let files = TASKS * generate::files_of(SEED, 0);
        assert_eq!(server.requests("GET", &object), 1 + files);
    }
    stand.finish().await;
}

async fn a_missing_object_is_named_and_not_cached(stand: Stand) {
    fs::remove_file(stand.file(2)).unwrap();
    for _ in 0..2 {
        stand.assert_not_opened(2, "not found").await;
    }
    stand.write(2, &generate::archive(SEED, 2));
    stand.assert_readable(2).await;
    stand.finish().await;
}

async fn tasks_that_wait_for_a_missing_object_all_hear_of_it(stand: Stand) {
    fs::remove_file(stand.file(2)).unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (readers, source) = (stand.readers.clone(), Arc::clone(&stand.source));
        tasks.spawn(async move { open(&readers, &source, 2).await.expect_err("no such object") });
    }
    while let Some(task) = tasks.join_next().await {
        let error = task.unwrap().to_string();
        assert!(error.contains(&stand.full_name(2)) && error.contains("not found"), "{error}");
    }
    stand.assert_nothing_is_open();
    stand.write(2, &generate::archive(SEED, 2));
    stand.assert_readable(2).await;
    stand.finish().await;
}

async fn an_object_that_was_cut_is_named_and_not_cached(stand: Stand) {
    let whole = generate::archive(SEED, 1);
    for (length, reason) in [
        (0, "too few"),
        (21, "too few"),
        (whole.len() / 2, "it was cut"),
        (whole.len() - 22, "it was cut"),
        (whole.len() - 1, "it was cut"),
    ] {
        stand.write(1, &whole[..length]);
        stand.assert_not_opened(1, reason).await;
    }
    stand.write(1, &whole);
    stand.assert_readable(1).await;
    stand.finish().await;
}

async fn a_damaged_index_is_named_and_not_cached(stand: Stand) {
    let whole = generate::archive(SEED, 1);
    let end = whole.len() - 22;
    let directory = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    for (at, reason) in [
        (directory, "its directory is damaged at file 1 of"),
        // The length of a name, and where the file is.
        (directory + 29, "its directory is damaged at file 1 of"),
        (directory + 45, "does not fit into its place"),
        // How many files there are, how long the directory is, and where.
        (end + 10, "one part of several"),
        (end + 12, "its directory should end at"),
        (end + 16, "its directory should end at"),
    ] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        stand.write(1, &damaged);
        stand.assert_not_opened(1, reason).await;
    }
    stand.write(1, &whole);
    stand.assert_readable(1).await;
    stand.finish().await;
}

async fn a_damaged_file_spoils_no_other(stand: Stand) {
    let mut damaged = generate::archive(SEED, 1);
    // In the contents of the first file.
    damaged[100] ^= 1;
    stand.write(1, &damaged);

    let reader = stand.open(1).await.unwrap();
    let error = reader.read(0).await.unwrap_err().to_string();
    assert!(error.starts_with(&stand.full_name(1)), "{error}");
    assert!(error.contains(&generate::file_name(0)) && error.contains("checksum"), "{error}");
    for nth in 1..reader.entries().len() {
        assert_eq!(reader.read(nth).await.unwrap(), generate::contents(SEED, 1, nth));
    }
    assert!(stand.readers.contains_key(&stand.key(1)));
    drop(reader);
    stand.finish().await;
}

async fn a_replaced_object_is_noticed_and_its_old_reader_closed_at_last(stand: Stand) {
    let old = stand.open(3).await.unwrap();
    assert_contents(&old, 3).await;
    // Another one by its length, too: the files of one moment may have the same time.
    let other = generate::archive(SEED, 4);
    assert_ne!(other.len() as u64, old.size());
    stand.write(3, &other);

    let error = old.read(0).await.unwrap_err();
    assert!(error.is_change(), "{error}");
    assert!(error.to_string().starts_with(&stand.full_name(3)), "{error}");

    let removed = stand.readers.remove(&stand.key(3));
    assert_eq!((removed.closed, removed.detached), (0, 1));
    let new = stand.open(3).await.unwrap();
    assert_contents(&new, 4).await;
    assert_eq!(stand.readers.stats().closed, 0);
    drop(old);
    assert_eq!(stand.readers.stats().closed, 1);
    drop(new);
    stand.finish().await;
}
