//! Downloading by HTTP/1.1 ranges (RFC 9112, RFC 9110 section 14), without IO.
//!
//! One [`Connection`] per TCP connection: [`request`](Connection::request) writes a request for the next block,
//! [`receive`](Connection::receive) takes what arrives and hands out the block's bytes with their offsets. Length and
//! position are checked against what was asked for, so never a byte more than the manifest announced is delivered.
//! Integrity is the business of the SHA-256 over the stored file. Redirects are not followed.

mod connection;
mod retry;
mod url;

pub use connection::{Chunk, Connection, Error, REQUEST_LEN};
pub use retry::Retry;
pub use url::Url;
