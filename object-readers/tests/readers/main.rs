//! The example `object_readers`, on files and against a real S3 server.
//!
//! | module | what is in it |
//! |---|---|
//! | `both` | what must be the same wherever the objects are |
//! | `s3` | what only a server can do: refuse, deny, be silent, vanish |
//! | `program` | the program as a whole |
//! | `stand` | the objects, the cache and the server that the tests work with |
//! | `server` | the server: `s3s-fs` on loopback |

mod both;
mod program;
mod s3;
mod server;
mod stand;
