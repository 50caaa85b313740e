//! The program as a whole.

use std::fs;

use object_readers::generate;
use object_readers::options::Options;
use object_readers::run::{Report, program};

use crate::server::Reserved;
use crate::stand::{SEED, settings, within_patience};

fn options(location: impl Into<Option<String>>) -> Options {
    Options {
        location: location.into(),
        tasks: 8,
        reads: 400,
        max_open: 6,
        seed: SEED,
        generate: None,
    }
}

fn assert_all_read(report: &Report, archives: usize) {
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!((report.reads, report.archives), (400, archives));
    assert!(report.stats.evictions() > 0, "{report}");
    assert!(report.is_balanced(), "{report}");
    assert!(report.to_string().contains("400 files"), "{report}");
}

#[test]
fn without_a_place_it_makes_one_and_reads_there() {
    within_patience(async {
        let options = Options { generate: Some(20), ..options(None) };
        assert_all_read(&program(&options, []).await.unwrap(), 20);
    });
}

#[test]
fn it_writes_to_a_server_and_reads_from_there() {
    within_patience(async {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bucket")).unwrap();
        let place = Reserved::new();
        let settings = settings(&place);
        let _server = place.serve(root.path());

        let location = "s3://bucket/some/where/".to_owned();
        let writing = Options { generate: Some(20), ..options(location.clone()) };
        assert_all_read(&program(&writing, settings.clone()).await.unwrap(), 20);
        assert_all_read(&program(&options(location), settings.clone()).await.unwrap(), 20);

        let problem = program(&options("s3://bucket/else".to_owned()), settings).await.unwrap_err();
        assert!(problem.starts_with("s3://bucket/else: no ZIP archives"), "{problem}");
    });
}

#[test]
fn objects_that_cannot_be_read_are_told_once_each_and_the_others_are_read() {
    within_patience(async {
        let folder = tempfile::tempdir().unwrap();
        let write = |object: usize, contents: &[u8]| {
            fs::write(folder.path().join(generate::archive_name(object)), contents).unwrap();
        };
        (0..12).for_each(|object| write(object, &generate::archive(SEED, object)));
        write(0, b"not an archive, but long enough for one");
        write(1, &generate::archive(SEED, 1)[..1000]);
        fs::write(folder.path().join("no archive.txt"), "").unwrap();

        let report =
            program(&options(folder.path().to_string_lossy().into_owned()), []).await.unwrap();
        let mut failures: Vec<_> = report.failures.iter().map(ToString::to_string).collect();
        failures.sort();
        assert_eq!(failures.len(), 2, "{failures:?}");
        for (object, failure) in failures.iter().enumerate() {
            assert!(failure.contains(&generate::archive_name(object)), "{failure}");
            assert!(failure.contains("it was cut, or is not a ZIP archive"), "{failure}");
        }
        assert_eq!(report.archives, 12);
        assert!(report.reads > 300, "{report}");
        assert!(report.is_balanced(), "{report}");
    });
}

#[test]
fn a_place_that_leads_nowhere_is_named() {
    within_patience(async {
        let place = Reserved::new();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let [folder, file] = [folder.path(), &file].map(|path| path.display().to_string());
        for (location, reason) in [
            (format!("{folder}/no such"), "no such folder"),
            (file, "not a folder"),
            (folder, "no ZIP archives"),
            ("s4://bucket".to_owned(), "neither a folder nor an s3:// URL"),
            ("s3://".to_owned(), "which bucket?"),
            ("s3://bu cket/".to_owned(), "invalid"),
            ("http://127.0.0.1/bucket".to_owned(), "AWS_ENDPOINT_URL"),
            ("file://host/folder".to_owned(), "neither a folder"),
            ("s3://bucket/prefix".to_owned(), "onnection refused"),
        ] {
            let problem = program(&options(location.clone()), settings(&place)).await.unwrap_err();
            assert!(problem.contains(&location), "{problem:?} does not name {location:?}");
            assert!(problem.contains(reason), "{problem:?} is not for {reason:?}");
        }
    });
}
