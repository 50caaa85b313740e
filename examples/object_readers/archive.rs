//! The ZIP format, as far as a reader of single files in large archives needs it.
//!
//! An archive is read from its end: the end record tells where the directory is, and the directory
//! tells where each file is. All that it says is checked before it is believed, for what is read
//! here may have been cut, damaged or never been a ZIP archive.
//!
//! Nothing in this file does any input or output: bytes go in, and what they mean comes out.

use std::fmt;
use std::io::Read;
use std::ops::Range;

use flate2::read::DeflateDecoder;

const END_SIGNATURE: u32 = 0x0605_4b50;
const DIRECTORY_SIGNATURE: u32 = 0x0201_4b50;
const FILE_SIGNATURE: u32 = 0x0403_4b50;

/// The lengths of the three kinds of record, without what has no fixed length in them.
const END_LENGTH: usize = 22;
const DIRECTORY_LENGTH: usize = 46;
const FILE_LENGTH: usize = 30;

/// How much of an archive's end holds the end record, whatever the comment after it.
pub const LONGEST_END: u64 = END_LENGTH as u64 + u16::MAX as u64;

/// Larger files are left out of the index, so that no archive can make a reader use much memory.
pub const LARGEST_FILE: u32 = 64 << 20;

/// What is wrong with an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn malformed<T>(what: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(what.into()))
}

/// The end record: where the directory is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    pub directory: Range<u64>,
    pub files: u16,
}

impl End {
    /// Finds the end record in the last bytes of an archive of this size. `None` if it is not in
    /// them, but may begin before.
    pub fn find(tail: &[u8], size: u64) -> Result<Option<End>, Malformed> {
        if size < END_LENGTH as u64 {
            return malformed(format!("{size} bytes are too few for a ZIP archive"));
        }
        // Backwards, for only a comment can follow. It may hold the signature as well, hence the
        // look at its length.
        let found = tail.windows(END_LENGTH).enumerate().rev().find(|&(at, record)| {
            long(record, 0) == END_SIGNATURE
                && at + END_LENGTH + usize::from(short(record, 20)) == tail.len()
        });
        let Some((at, record)) = found else {
            return if (tail.len() as u64) < size.min(LONGEST_END) {
                Ok(None)
            } else {
                malformed("it has no ZIP end record: it was cut, or is not a ZIP archive")
            };
        };

        let [disk, directory_disk, here, files] = [4, 6, 8, 10].map(|at| short(record, at));
        let [length, start] = [12, 16].map(|at| long(record, at));
        if files == u16::MAX || length == u32::MAX || start == u32::MAX {
            return malformed("it is a ZIP64 archive, which this program does not read");
        }
        if disk != 0 || directory_disk != 0 || here != files {
            return malformed("it is one part of several");
        }
        let directory = u64::from(start)..u64::from(start) + u64::from(length);
        let position = size - (tail.len() - at) as u64;
        if directory.end != position {
            return malformed(format!(
                "its directory should end at byte {position}, where the end record begins, and \
                 not at {}: it was cut or damaged",
                directory.end
            ));
        }
        Ok(Some(End { directory, files }))
    }
}

/// How a file is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Method {
    Stored,
    Deflated,
}

/// One file of an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    name: Box<[u8]>,
    method: Method,
    checksum: u32,
    compressed: u32,
    size: u32,
    /// All that can belong to the file: from its record to the next one's.
    range: Range<u64>,
}

impl Entry {
    /// The name, for people.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// The length of the contents.
    pub fn size(&self) -> u64 {
        self.size.into()
    }

    /// The part of the archive that the contents are in.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The contents, from the bytes of [`range`](Self::range). They are what was archived: the
    /// checksum says so.
    pub fn extract(&self, bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        let compressed = self.compressed_contents(bytes)?;
        let contents = match self.method {
            Method::Stored => compressed.to_vec(),
            Method::Deflated => {
                let mut contents = Vec::with_capacity(self.size as usize);
                // One byte more than there should be shows that there is more.
                let limit = u64::from(self.size) + 1;
                DeflateDecoder::new(compressed)
                    .take(limit)
                    .read_to_end(&mut contents)
                    .map_err(|error| self.damaged(&format!("cannot be decompressed: {error}")))?;
                contents
            }
        };
        if contents.len() != self.size as usize {
            return Err(self.damaged("has another length than the directory says"));
        }
        if crc32fast::hash(&contents) != self.checksum {
            return Err(self.damaged("has a wrong checksum"));
        }
        Ok(contents)
    }

    fn compressed_contents<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let damaged = || self.damaged("is not where the directory says");
        let (record, rest) = bytes.split_at_checked(FILE_LENGTH).ok_or_else(damaged)?;
        let (name, extra) = (usize::from(short(record, 26)), usize::from(short(record, 28)));
        if long(record, 0) != FILE_SIGNATURE || rest.get(..name) != Some(&*self.name) {
            return Err(damaged());
        }
        // The extra field here need not be as long as the one in the directory.
        let start = name + extra;
        rest.get(start..start + self.compressed as usize).ok_or_else(damaged)
    }

    fn damaged(&self, how: &str) -> Malformed {
        Malformed(format!("the file `{}` in it {how}", self.name()))
    }
}

/// An archive's directory, as much of it as is needed for reading.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Index {
    entries: Box<[Entry]>,
    left_out: usize,
}

impl Index {
    /// Parses the bytes of [`End::directory`].
    pub fn parse(directory: &[u8], end: &End) -> Result<Index, Malformed> {
        // Where the records of all files begin, whether they can be read or not.
        let mut starts = Vec::new();
        let mut entries = Vec::new();
        let mut left_out = 0;
        let mut rest = directory;
        for nth in 1..=end.files {
            let Some(header) = Header::parse(&mut rest) else {
                let files = end.files;
                return malformed(format!("its directory is damaged at file {nth} of {files}"));
            };
            starts.push(header.start);
            match header.kind() {
                Kind::File(entry) => entries.push(entry),
                Kind::Folder => {}
                Kind::LeftOut => left_out += 1,
            }
        }
        if !rest.is_empty() {
            return malformed("its directory holds more than the end record says");
        }

        starts.push(end.directory.start);
        starts.sort_unstable();
        for entry in &mut entries {
            let start = entry.range.start;
            let own = starts.partition_point(|&other| other < start);
            // Where two records begin at one place, the next one begins at once.
            let next = starts.get(own + 1).map_or(0, |&next| next.min(end.directory.start));
            let least = start + FILE_LENGTH as u64 + entry.name.len() as u64;
            let least = least + u64::from(entry.compressed);
            if least > next {
                return Err(entry.damaged("does not fit into its place"));
            }
            // An extra field can lie between, but not more.
            entry.range = start..next.min(least + u64::from(u16::MAX));
        }
        Ok(Index { entries: entries.into(), left_out })
    }

    /// The files that can be read.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many files cannot be: encrypted ones, and those that are too large or compressed by
    /// rare methods.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// How much memory the index takes.
    pub fn bytes(&self) -> u64 {
        let names: usize = self.entries.iter().map(|entry| entry.name.len()).sum();
        (names + size_of_val(&*self.entries) + size_of::<Self>()) as u64
    }
}

/// One record of the directory.
struct Header<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    checksum: u32,
    compressed: u32,
    size: u32,
    start: u64,
}

/// What a record of the directory stands for.
enum Kind {
    File(Entry),
    Folder,
    LeftOut,
}

impl<'a> Header<'a> {
    /// Takes one record off the rest of the directory.
    fn parse(rest: &mut &'a [u8]) -> Option<Self> {
        let (fixed, variable) = rest.split_at_checked(DIRECTORY_LENGTH)?;
        if long(fixed, 0) != DIRECTORY_SIGNATURE {
            return None;
        }
        let (name, variable) = variable.split_at_checked(short(fixed, 28).into())?;
        let ignored = usize::from(short(fixed, 30)) + usize::from(short(fixed, 32));
        *rest = variable.get(ignored..)?;
        Some(Header {
            name,
            flags: short(fixed, 8),
            method: short(fixed, 10),
            checksum: long(fixed, 16),
            compressed: long(fixed, 20),
            size: long(fixed, 24),
            start: long(fixed, 42).into(),
        })
    }

    fn kind(self) -> Kind {
        let is_encrypted = self.flags & 1 != 0;
        let method = match self.method {
            _ if self.name.ends_with(b"/") => return Kind::Folder,
            _ if is_encrypted || self.size.max(self.compressed) > LARGEST_FILE => {
                return Kind::LeftOut;
            }
            0 => Method::Stored,
            8 => Method::Deflated,
            _ => return Kind::LeftOut,
        };
        Kind::File(Entry {
            name: self.name.into(),
            method,
            checksum: self.checksum,
            compressed: self.compressed,
            size: self.size,
            // Where it ends is known when all the others are.
            range: self.start..self.start,
        })
    }
}

/// A number of two bytes in a record of fixed length.
fn short(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([record[at], record[at + 1]])
}

/// A number of four bytes in a record of fixed length.
fn long(record: &[u8], at: usize) -> u32 {
    u32::from(short(record, at)) | u32::from(short(record, at + 2)) << 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;

    /// All that a program does with an archive that it has in memory.
    fn read_all(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Malformed> {
        let size = archive.len() as u64;
        let tail = &archive[archive.len().saturating_sub(LONGEST_END as usize)..];
        let end = End::find(tail, size)?.expect("the tail is as long as it can be");
        let part = |range: Range<u64>| &archive[range.start as usize..range.end as usize];
        let index = Index::parse(part(end.directory.clone()), &end)?;
        let read = |entry: &Entry| Ok((entry.name(), entry.extract(part(entry.range()))?));
        index.entries().iter().map(read).collect()
    }

    fn refusal(archive: &[u8]) -> String {
        read_all(archive).expect_err("this is no good archive").0
    }

    /// Small, so that each of its bytes can be damaged.
    fn small() -> Vec<u8> {
        generate::pack(&[0, 1, 2].map(|nth| generate::contents(7, 3, nth)[..80].to_vec()))
    }

    #[test]
    fn what_was_written_is_read() {
        let files = read_all(&generate::archive(7, 3)).unwrap();
        assert_eq!(files.len(), generate::files_of(7, 3));
        for (nth, (name, contents)) in files.iter().enumerate() {
            assert_eq!(*name, generate::file_name(nth));
            assert_eq!(*contents, generate::contents(7, 3, nth));
        }
    }

    #[test]
    fn an_archive_that_was_cut_anywhere_is_refused() {
        let archive = small();
        for length in 0..archive.len() {
            let why = refusal(&archive[..length]);
            assert!(why.contains("too few") || why.contains("cut"), "{length}: {why}");
        }
    }

    #[test]
    fn no_damaged_byte_leads_to_wrong_contents_or_a_panic() {
        let archive = small();
        let right = read_all(&archive).unwrap();
        for at in 0..archive.len() {
            for damage in [0x01, 0x80, 0xff] {
                let mut damaged = archive.clone();
                damaged[at] ^= damage;
                let Ok(files) = read_all(&damaged) else { continue };
                // The directory has no checksum of its own: what it does not contain twice, such
                // as a time, can be damaged unnoticed, and a file can become one to leave out.
                for file in files {
                    assert!(right.contains(&file), "byte {at}: {}", file.0);
                }
            }
        }
    }

    #[test]
    fn an_end_record_behind_a_long_comment_is_found_by_looking_further() {
        let mut archive = small();
        let comment = vec![b'.'; 20_000];
        let at = archive.len() - 2;
        archive[at..].copy_from_slice(&(comment.len() as u16).to_le_bytes());
        archive.extend_from_slice(&comment);
        let size = archive.len() as u64;
        assert_eq!(End::find(&archive[archive.len() - 8192..], size), Ok(None));
        assert_eq!(read_all(&archive), read_all(&small()));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert!(refusal(&[b'x'; 100]).contains("no ZIP end record"));

        let archive = small();
        let end = archive.len() - END_LENGTH;
        let changed = |at: usize, bytes: &[u8]| {
            let mut changed = archive.clone();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            refusal(&changed)
        };
        assert!(changed(end + 8, &[0xff; 4]).contains("ZIP64"));
        assert!(changed(end + 4, &[1, 0]).contains("one part of several"));
        let directory = long(&archive[end..], 16) as usize;
        assert!(changed(directory, b"?").contains("damaged at file 1"));
        assert!(changed(directory + 42, &[0xff; 4]).contains("does not fit"));
    }
}
