//! What only a server can do: refuse, deny, be silent, vanish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use binlock::readers::OpenError;
use object_readers::generate;
use object_readers::source::Source;

use crate::server::Reserved;
use crate::stand::{Stand, assert_contents, open, settings, until, within_patience};

/// Another source with some settings changed.
fn source(location: &str, settings: &[(String, String)], changed: &[(&str, &str)]) -> Arc<Source> {
    let changed = changed.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Arc::new(Source::parse(location, settings.iter().cloned().chain(changed)).unwrap())
}

/// A stand, and the settings that lead to its server.
fn stand() -> (Stand, Vec<(String, String)>) {
    let place = Reserved::new();
    let settings = settings(&place);
    let source = |_: &_| Source::parse("s3://bucket/", settings.clone()).unwrap();
    (Stand::new(source, Some(place)), settings)
}

#[test]
fn a_refused_connection_is_told_soon_and_forgotten() {
    within_patience(async {
        let place = Reserved::new();
        let settings = settings(&place);
        let source = |_: &_| Source::parse("s3://bucket", settings).unwrap();
        let mut stand = Stand::new(source, None);

        let start = Instant::now();
        stand.assert_not_opened(0, "onnection refused").await;
        // There are a few attempts within about half a second; the rest is for busy machines.
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());

        stand.server = Some(place.serve(stand.root.path()));
        stand.assert_readable(0).await;
        stand.finish().await;
    });
}

#[test]
fn bad_credentials_are_named_as_such_and_good_ones_work_after_them() {
    within_patience(async {
        let (stand, settings) = stand();
        for wrong in [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "nobody")] {
            let source = source("s3://bucket", &settings, &[wrong]);
            let reason = "access denied, check the credentials";
            stand.assert_not_opened_from(&source, 0, reason).await;
        }
        let anonymous = source("s3://bucket", &settings, &[("AWS_SKIP_SIGNATURE", "true")]);
        stand.assert_not_opened_from(&anonymous, 0, "access denied").await;
        stand.assert_readable(0).await;
        stand.finish().await;
    });
}

#[test]
fn a_missing_bucket_and_a_wrong_prefix_are_named() {
    within_patience(async {
        let (stand, settings) = stand();
        for location in ["s3://no-such-bucket", "s3://bucket/no/such/prefix"] {
            let source = source(location, &settings, &[]);
            stand.assert_not_opened_from(&source, 0, "not found").await;
        }
        stand.assert_readable(0).await;
        stand.finish().await;
    });
}

#[test]
fn a_silent_server_is_waited_for_so_long_and_not_longer() {
    within_patience(async {
        let (stand, settings) = stand();
        stand.server().shut_gate();
        let impatient = source("s3://bucket", &settings, &[("AWS_TIMEOUT", "200 ms")]);
        stand.assert_not_opened_from(&impatient, 0, "timed out").await;
        stand.server().open_gate();
        stand.assert_readable(0).await;
        stand.finish().await;
    });
}

#[test]
fn a_server_that_vanishes_leaves_readers_that_are_closed_as_usual() {
    within_patience(async {
        let (mut stand, _) = stand();
        let reader = stand.open(0).await.unwrap();
        assert_contents(&reader, 0).await;
        stand.server.take().expect("it has run until now").stop().await;

        let error = reader.read(0).await.unwrap_err();
        assert!(error.to_string().starts_with(&stand.full_name(0)), "{error}");
        assert!(!error.concerns_one_object(), "{error}");
        let Err(OpenError::Failed(error)) = stand.open(1).await else { panic!("nobody is there") };
        assert!(error.to_string().starts_with(&stand.full_name(1)), "{error}");

        let stats = stand.readers.stats();
        assert_eq!((stats.opened, stats.failed_opens, stats.open), (1, 1, 1));
        assert_eq!(stand.readers.len(), 1);
        drop(reader);
        stand.finish().await;
    });
}

#[test]
fn who_waits_gets_the_reader_when_the_task_that_opens_it_is_cancelled() {
    within_patience(async {
        let (stand, _) = stand();
        stand.server().shut_gate();
        let spawn = || {
            let (readers, source) = (stand.readers.clone(), Arc::clone(&stand.source));
            tokio::spawn(async move { open(&readers, &source, 0).await })
        };
        let object = generate::archive_name(0);
        let first = spawn();
        until(|| stand.server().requests("HEAD", &object) == 1).await;
        let second = spawn();
        until(|| stand.readers.stats().joined_opens == 1).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        stand.server().open_gate();

        let reader = second.await.unwrap().unwrap();
        assert_contents(&reader, 0).await;
        drop(reader);
        // The request that was under way was not given up.
        assert_eq!(stand.server().requests("HEAD", &object), 1);
        assert_eq!(stand.readers.stats().opened, 1);
        stand.finish().await;
    });
}

#[test]
fn an_opening_that_nobody_waits_for_any_more_leaves_nothing() {
    within_patience(async {
        let (stand, _) = stand();
        stand.server().shut_gate();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (readers, source) = (stand.readers.clone(), Arc::clone(&stand.source));
                tokio::spawn(async move { open(&readers, &source, 0).await })
            })
            .collect();
        until(|| stand.readers.stats().joined_opens == 3).await;
        for task in tasks {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        stand.assert_nothing_is_open();
        stand.server().open_gate();
        stand.assert_readable(0).await;
        stand.finish().await;
    });
}
