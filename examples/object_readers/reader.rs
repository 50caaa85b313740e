//! A reader of one object: what the cache keeps open.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt};

use crate::archive::{End, Entry, Index, LONGEST_END, Malformed};
use crate::error::ObjectError;
use crate::source::Source;

/// How much of an object's end is read first. It holds the end record if that has no long comment,
/// and the whole directory of an archive of some hundred files.
const FIRST_TAIL: u64 = 16 << 10;

/// A larger directory is not believed: this is a thousand bytes for each of the most files that an
/// archive can have.
const LARGEST_DIRECTORY: u64 = 64 << 20;

/// An archive in the store, with its index in memory.
///
/// Opening one takes two or three requests, reading a file from it takes one.
pub struct ObjectReader {
    object: Object,
    index: Index,
}

impl ObjectReader {
    /// Opens the object at a path of the store.
    pub async fn open(source: Arc<Source>, path: Path) -> Result<ObjectReader, ObjectError> {
        let name = source.full_name(&path);
        let meta = source.store().head(&path).await;
        let meta = meta.map_err(|error| ObjectError::store(&name, error))?;
        let object = Object { source, name, meta };
        let malformed = |what| ObjectError::malformed(&object.name, what);

        let size = object.meta.size;
        let (end, tail) = object.end().await?;
        let range = end.directory.clone();
        if range.end - range.start > LARGEST_DIRECTORY {
            return Err(malformed(Malformed("its directory is too large".to_owned())));
        }
        let directory = match range.start.checked_sub(size - tail.len() as u64) {
            // `end` has seen to it that the directory ends before the end record does.
            Some(start) => tail.slice(start as usize..(start + range.end - range.start) as usize),
            None => object.get(range).await?,
        };
        let index = Index::parse(&directory, &end).map_err(malformed)?;
        Ok(ObjectReader { object, index })
    }

    /// The files that can be read.
    pub fn entries(&self) -> &[Entry] {
        self.index.entries()
    }

    /// How many files cannot be.
    pub fn left_out(&self) -> usize {
        self.index.left_out()
    }

    /// The size of the object.
    pub fn size(&self) -> u64 {
        self.object.meta.size
    }

    /// How much memory the index takes: what the reader weighs in the cache.
    pub fn index_bytes(&self) -> u64 {
        self.index.bytes()
    }

    /// The contents of a file, checked.
    ///
    /// # Panics
    ///
    /// If there are not so many entries.
    pub async fn read(&self, nth: usize) -> Result<Vec<u8>, ObjectError> {
        let entry = &self.index.entries()[nth];
        let bytes = self.object.get(entry.range()).await?;
        entry.extract(&bytes).map_err(|what| ObjectError::malformed(&self.object.name, what))
    }
}

impl fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectReader")
            .field("object", &self.object.name)
            .field("files", &self.entries().len())
            .finish_non_exhaustive()
    }
}

/// An object as it was when it was opened.
struct Object {
    source: Arc<Source>,
    name: String,
    meta: ObjectMeta,
}

impl Object {
    /// The end record, and the end of the object that it was found in.
    async fn end(&self) -> Result<(End, Bytes), ObjectError> {
        let size = self.meta.size;
        for length in [FIRST_TAIL, LONGEST_END] {
            let tail = self.get(size.saturating_sub(length)..size).await?;
            match End::find(&tail, size) {
                Ok(Some(end)) => return Ok((end, tail)),
                Ok(None) => {}
                Err(what) => return Err(ObjectError::malformed(&self.name, what)),
            }
        }
        let what = Malformed("it has no ZIP end record".to_owned());
        Err(ObjectError::malformed(&self.name, what))
    }

    /// A part of the object.
    async fn get(&self, range: Range<u64>) -> Result<Bytes, ObjectError> {
        let wanted = range.end - range.start;
        if wanted == 0 {
            // There is no such request in HTTP.
            return Ok(Bytes::new());
        }
        let error = |error| ObjectError::store(&self.name, error);
        let options = GetOptions {
            // A weak tag matches nothing, not even itself.
            if_match: self.meta.e_tag.clone().filter(|tag| !tag.starts_with("W/")),
            range: Some(range.into()),
            ..GetOptions::default()
        };
        let got = self.source.store().get_opts(&self.meta.location, options).await;
        let got = got.map_err(error)?;
        // Not every server heeds the condition.
        if got.meta.e_tag != self.meta.e_tag || got.meta.size != self.meta.size {
            return Err(ObjectError::changed(&self.name));
        }
        let bytes = got.bytes().await.map_err(error)?;
        if bytes.len() as u64 != wanted {
            return Err(ObjectError::cut(&self.name, wanted, bytes.len() as u64));
        }
        Ok(bytes)
    }
}
