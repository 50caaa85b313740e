//! Readers never wait, not even for a writer that stops in the middle of anything; and other
//! writers wait for nothing but what it has locked or claimed.
//!
//! A signal stops writers at whichever instruction they are: with a bin locked, half through
//! moving another, between two stores. Others stop where a test wants them to: as they allocate
//! what a transfer needs, in a closure, waiting for one. Meanwhile the others go on.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

#[path = "../common/mod.rs"]
mod common;

mod allocator;
mod claims;
mod readers;
mod stopping;
mod transfers;
mod writers;

#[global_allocator]
static ALLOCATOR: allocator::LockFree = allocator::LockFree;
