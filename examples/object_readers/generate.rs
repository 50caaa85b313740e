//! Archives to read, for whoever has none at hand.
//!
//! What is in them follows from a seed, so that a test knows what it must read. They are plain ZIP
//! archives, which every other program reads as well.

use std::io::Write;

use flate2::{Compression, write::DeflateEncoder};

/// The name of an archive.
pub fn archive_name(object: usize) -> String {
    format!("generated-{object:05}.zip")
}

/// The name of a file in an archive.
pub fn file_name(nth: usize) -> String {
    format!("part-{nth:03}.txt")
}

/// How many files an archive holds.
pub fn files_of(seed: u64, object: usize) -> usize {
    random(seed, object, usize::MAX).usize(8..40)
}

/// What is in a file.
pub fn contents(seed: u64, object: usize, nth: usize) -> Vec<u8> {
    let mut random = random(seed, object, nth);
    let length = random.usize(100..4_000);
    // Few different letters, so that compressing it has a point.
    (0..length).map(|_| b"etaoin shrdlu\n"[random.usize(..14)]).collect()
}

/// An archive.
pub fn archive(seed: u64, object: usize) -> Vec<u8> {
    let files = (0..files_of(seed, object)).map(|nth| contents(seed, object, nth));
    pack(&files.collect::<Vec<_>>())
}

/// An archive with these contents in its files.
pub fn pack(files: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (nth, contents) in files.iter().enumerate() {
        let start = archive.len();
        // Every other one, for both ways to be read.
        let compressed = (nth % 2 == 1).then(|| deflate(contents));
        let method: u16 = if compressed.is_some() { 8 } else { 0 };
        let data = compressed.as_deref().unwrap_or(contents);

        // What both records of a file have in common.
        let mut common = Vec::new();
        let shorts = [20, 0, method, 0, MIDNIGHT];
        common.extend(shorts.iter().flat_map(|short| short.to_le_bytes()));
        let sizes = [crc32fast::hash(contents), data.len() as u32, contents.len() as u32];
        common.extend(sizes.iter().flat_map(|long| long.to_le_bytes()));
        let name = file_name(nth);
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);

        archive.extend(b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(name.as_bytes());
        archive.extend(data);

        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((start as u32).to_le_bytes());
        directory.extend(name.as_bytes());
    }

    let start = archive.len() as u32;
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([files.len() as u16; 2].iter().flat_map(|short| short.to_le_bytes()));
    archive.extend((directory.len() as u32).to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0, 0]);
    archive
}

/// The first day that the format knows, the first of January 1980.
const MIDNIGHT: u16 = 1 << 5 | 1;

fn deflate(contents: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(contents).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail")
}

/// Numbers for one thing alone, so that each can be had without the others.
fn random(seed: u64, object: usize, nth: usize) -> fastrand::Rng {
    let mut random = fastrand::Rng::with_seed(seed);
    for part in [object, nth] {
        random = fastrand::Rng::with_seed(random.u64(..) ^ part as u64);
    }
    random
}
