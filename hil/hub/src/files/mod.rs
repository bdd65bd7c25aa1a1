//! The HTTP/1.1 server from which devices download: GET and HEAD, single ranges, keep-alive (RFC 9110, RFC 9112).
//!
//! Files of updates have URLs that expire: `?se=<Unix time>&sig=<32 hexadecimal digits>`, where `sig` is the first half
//! of HMAC-SHA256 over path, line feed and `se`. An expired or altered URL is answered with 403 and a body that says so.

mod answer;
mod connection;
mod fault;
mod range;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::hmac;
use sim_base::Instant;

pub use connection::Connection;
pub use fault::FileFault;

use crate::utc::Utc;

/// What time it is for a request.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The relation to UTC.
    pub utc: Utc,
    /// Now.
    pub now: Instant,
}

/// A file as it is served.
#[derive(Clone, Debug)]
pub struct File {
    /// Its id, e.g. `f0123456789abcdef`; also the entity tag.
    pub id: String,
    /// Its name, by which faults find it.
    pub name: String,
    /// Whether only URLs that [`Service::url`] made are served.
    pub protected: bool,
    /// Its content.
    pub body: Arc<[u8]>,
}

impl File {
    fn etag(&self) -> String {
        format!("\"{}\"", self.id)
    }
}

/// The files and their faults.
#[derive(Clone, Debug)]
pub struct Service {
    host: String,
    key: hmac::Key,
    /// By absolute path.
    files: BTreeMap<String, File>,
    /// By name or id.
    faults: BTreeMap<String, FileFault>,
}

impl Service {
    /// A server of this host name without files; `secret` is what its URLs are signed with.
    pub fn new(host: String, secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self { host, key, files: BTreeMap::new(), faults: BTreeMap::new() }
    }

    /// Publishes a file under an absolute path such as `/a/b.bin`, in the characters that a URL has.
    pub fn publish(&mut self, path: String, file: File) {
        self.files.insert(path, file);
    }

    /// Takes a file away.
    pub fn withdraw(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// A file by its path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// A URL of `path` that is good until `expires`, Unix time.
    pub fn url(&self, path: &str, expires: u64) -> String {
        format!("http://{}{path}?se={expires}&sig={}", self.host, self.signature(path, expires))
    }

    /// A URL of a file that is not protected.
    pub fn open_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    fn signature(&self, path: &str, expires: u64) -> String {
        let tag = hmac::sign(&self.key, format!("{path}\n{expires}").as_bytes());
        crate::update::hex(&tag.as_ref()[..16])
    }

    /// Whether a query lets a request through; otherwise the reason.
    fn admits(&self, path: &str, query: Option<&str>, clock: &Clock) -> Result<(), String> {
        let query = query.ok_or("the URL has no signature; use it whole, with the query after `?`")?;
        let field = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let (Some(expires), Some(signature)) = (field("se"), field("sig")) else {
            return Err("the URL has no `se` or no `sig` in its query; use it whole".into());
        };
        let number: u64 = expires.parse().map_err(|_| format!("`se={expires}` is not a Unix time"))?;
        // Tests of a device are no place for timing attacks, and the key is public.
        if signature != self.signature(path, number) {
            return Err("the signature does not fit the URL: path or query were altered".into());
        }
        let now = clock.utc.seconds(clock.now);
        if now >= number {
            let ago = now - number;
            return Err(format!("the URL expired {ago} s ago; a retry of the deployment brings new ones"));
        }
        Ok(())
    }

    /// Sets the fault of every file of this name or id, those that come later included; `FileFault::default()` heals
    /// it. Yields how many files there are now.
    pub fn set_fault(&mut self, name: &str, fault: FileFault) -> usize {
        if fault == FileFault::default() {
            self.faults.remove(name);
        } else {
            self.faults.insert(name.to_owned(), fault);
        }
        self.files.values().filter(|file| file.name == name || file.id == name).count()
    }

    /// The faults that are set, by name or id of the file.
    pub fn faults(&self) -> impl Iterator<Item = (&str, &FileFault)> {
        self.faults.iter().map(|(name, fault)| (name.as_str(), fault))
    }

    /// The fault that strikes an answer with the bytes `start..end` of a file, counted.
    fn strike(&mut self, file: &File, start: u64, end: u64) -> Option<FileFault> {
        let key = if self.faults.contains_key(&file.id) { &file.id } else { &file.name };
        self.faults.get_mut(key)?.strike(start, end)
    }
}

/// Percent-encodes a file name for the path of a URL (RFC 3986 section 3.3).
pub fn encode_segment(name: &str) -> String {
    name.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~()+@!$&',;=:*".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}
