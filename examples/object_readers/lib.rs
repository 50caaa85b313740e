//! The parts of the example `object_readers`, which its tests use as well.
//!
//! | module | what it knows |
//! |---|---|
//! | [`run`] | the cache: what a program does with readers that are kept open |
//! | [`reader`] | one object: opening it, reading from it |
//! | [`archive`] | bytes: the ZIP format |
//! | [`source`] | stores: folders and S3 |
//! | [`error`] | what can go wrong with an object |
//! | [`generate`] | archives for whoever has none |
//! | [`options`] | the command line |

#![forbid(unsafe_code)]

pub mod archive;
pub mod error;
pub mod generate;
pub mod options;
pub mod reader;
pub mod run;
pub mod source;
