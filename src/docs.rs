//! Chapters: how the crate works inside, and what to know before depending on it.

#[doc = include_str!("../docs/coming-from.md")]
pub mod coming_from {}

#[doc = include_str!("../docs/design.md")]
pub mod design {}

#[doc = include_str!("../docs/limitations.md")]
pub mod limitations {}

#[doc = include_str!("../docs/readers.md")]
pub mod readers {}
