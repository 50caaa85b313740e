//! Where the objects are: a folder, or a bucket behind an URL.

use std::sync::Arc;
use std::time::Duration;
use std::{io, path};

use futures_util::TryStreamExt;
use indicatif::ProgressBar;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};
use url::Url;

use crate::error::{Causes, ObjectError};
use crate::generate;

/// What ZIP archives are called, for they go by many names.
const EXTENSIONS: [&str; 11] =
    ["zip", "jar", "war", "apk", "whl", "epub", "docx", "xlsx", "pptx", "odt", "ods"];

/// Any of these says where credentials are, or that there are to be none.
const CREDENTIALS: [AmazonS3ConfigKey; 5] = [
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::SkipSignature,
    AmazonS3ConfigKey::WebIdentityTokenFile,
    AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    AmazonS3ConfigKey::ContainerCredentialsFullUri,
];

/// A store, and the part of it to read.
pub struct Source {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// What a name in the store follows, for people.
    base: String,
}

impl Source {
    /// The folder or URL that a user has named. The settings are those that `object_store`
    /// documents for S3, usually the environment's; those that mean nothing to it are left alone.
    pub fn parse(
        location: &str,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Source, String> {
        // A path may hold a colon as well, on Windows as its second letter.
        if !location.contains("://") {
            return Self::folder(path::Path::new(location));
        }
        let problem = |what: &str| format!("{location}: {what}");
        let url = Url::parse(location).map_err(|error| problem(&error.to_string()))?;
        match (url.scheme(), url.host_str()) {
            ("file", None) => match url.to_file_path() {
                Ok(folder) => Self::folder(&folder),
                Err(()) => Err(problem("not the URL of a folder")),
            },
            ("s3" | "s3a", Some(bucket)) => {
                let prefix = Path::from_url_path(url.path());
                let prefix = prefix.map_err(|error| problem(&Causes(&error).to_string()))?;
                let store = s3(&url, settings).map_err(|what| problem(&what))?;
                Ok(Source { store, prefix, base: format!("s3://{bucket}/") })
            }
            ("s3" | "s3a", None) => Err(problem("which bucket? As in s3://bucket/prefix")),
            ("http" | "https", _) => Err(problem(
                "name the bucket, as in s3://bucket/prefix, and the server in AWS_ENDPOINT_URL",
            )),
            _ => Err(problem("neither a folder nor an s3:// URL")),
        }
    }

    /// A folder.
    pub fn folder(folder: &path::Path) -> Result<Source, String> {
        let shown = folder.display();
        match folder.metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(format!("{shown}: not a folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!("{shown}: no such folder"));
            }
            Err(error) => return Err(format!("{shown}: {error}")),
        }
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| format!("{shown}: {}", Causes(&error)))?;
        let base = format!("{}/", shown.to_string().trim_end_matches('/'));
        Ok(Source { store: Arc::new(store), prefix: Path::default(), base })
    }

    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The path of an object in the store, by its name below the prefix.
    pub fn path(&self, name: &str) -> Path {
        self.prefix.parts().chain(Path::from(name).parts()).collect()
    }

    /// An object's path with all that a user needs to find it.
    pub fn full_name(&self, path: &Path) -> String {
        format!("{}{path}", self.base)
    }

    /// The archives that are there.
    pub async fn archives(&self) -> Result<Vec<Path>, ObjectError> {
        let is_archive = |path: &Path| {
            let extension = path.extension().map(str::to_ascii_lowercase);
            extension.is_some_and(|extension| EXTENSIONS.contains(&&*extension))
        };
        let mut archives: Vec<_> = self
            .store
            .list(Some(&self.prefix))
            .map_ok(|object| object.location)
            .try_filter(|path| std::future::ready(is_archive(path)))
            .try_collect()
            .await
            .map_err(|error| ObjectError::store(&self.full_name(&self.prefix), error))?;
        // Stores list in whatever order they like.
        archives.sort_unstable();
        Ok(archives)
    }

    /// Writes so many archives.
    pub async fn generate(
        &self,
        seed: u64,
        archives: usize,
        bar: &ProgressBar,
    ) -> Result<(), ObjectError> {
        for object in 0..archives {
            let path = self.path(&generate::archive_name(object));
            let put = self.store.put(&path, generate::archive(seed, object).into()).await;
            put.map_err(|error| ObjectError::store(&self.full_name(&path), error))?;
            bar.inc(1);
        }
        Ok(())
    }
}

/// The same as `object_store::parse_url_opts` does for S3, but with an end to the retries: there,
/// a server that is not running is found out after minutes.
fn s3(
    url: &Url,
    settings: impl IntoIterator<Item = (String, String)>,
) -> Result<Arc<dyn ObjectStore>, String> {
    // The TLS library has no default here. Where one is installed already, that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let client = ClientOptions::new()
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(30));
    let retry = RetryConfig {
        max_retries: 3,
        retry_timeout: Duration::from_secs(10),
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            base: 2.0,
        },
    };
    let mut builder =
        AmazonS3Builder::new().with_client_options(client).with_retry(retry).with_url(url.as_str());
    for (name, value) in settings {
        let name = name.to_ascii_lowercase();
        if !name.starts_with("aws_") {
            continue;
        }
        let Ok(key) = name.parse::<AmazonS3ConfigKey>() else { continue };
        let is_endpoint =
            matches!(key, AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint);
        if is_endpoint && value.starts_with("http://") {
            // Who writes this wants it: servers of one's own often have no certificate.
            builder = builder.with_allow_http(true);
        }
        builder = builder.with_config(key, value);
    }
    // Without any, the crate would ask the network that it is in for some, as in a cloud, and
    // whoever has forgotten them would be told of an address that he has never named.
    if !CREDENTIALS.iter().any(|key| builder.get_config_value(key).is_some_and(|it| it != "false"))
    {
        return Err("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                    AWS_SKIP_SIGNATURE=true for a public bucket"
            .to_owned());
    }
    let store = builder.build().map_err(|error| Causes(&error).to_string())?;
    Ok(Arc::new(store))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(settings: &[(&str, &str)]) -> String {
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Source::parse("s3://bucket", settings).err().expect("something is wrong with the settings")
    }

    #[test]
    fn settings_that_cannot_work_are_named_before_anything_is_sent() {
        let nothing_signed = [("HOME", "/"), ("AWS_SKIP_SIGNATURE", "false")];
        for settings in [&[][..], &nothing_signed] {
            let problem = problem(settings);
            assert!(problem.contains("AWS_ACCESS_KEY_ID"), "{problem}");
        }
        let problem = problem(&[("AWS_ACCESS_KEY_ID", "key")]);
        assert!(problem.starts_with("s3://bucket: "), "{problem}");
    }

    #[test]
    fn names_are_told_with_all_that_leads_to_them() {
        let settings = [("AWS_SKIP_SIGNATURE".to_owned(), "true".to_owned())];
        let source = Source::parse("s3://bucket/some/where/", settings).unwrap();
        let path = source.path("a.zip");
        assert_eq!(path.as_ref(), "some/where/a.zip");
        assert_eq!(source.full_name(&path), "s3://bucket/some/where/a.zip");
    }
}
