//! What can be read of a TLS connection that passes through: who is asked for, version and suite, the end of the
//! handshake. Everything here is sent in the clear (RFC 5246 section 7.4).

use hub::EventKind;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const RECORD_HEADER: usize = 5;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;

const SERVER_NAME: u16 = 0;
const SUPPORTED_VERSIONS: u16 = 43;

/// One direction: records, and the handshake messages in them until encryption begins.
#[derive(Default)]
struct Direction {
    bytes: Vec<u8>,
    handshake: Vec<u8>,
    encrypted: bool,
    /// A record came after [`CHANGE_CIPHER_SPEC`]: Finished.
    finished: bool,
}

/// What a record or a handshake message says.
enum Seen {
    Message(u8, Vec<u8>),
    Alert(u8),
}

impl Direction {
    fn push(&mut self, bytes: &[u8]) -> Vec<Seen> {
        self.bytes.extend_from_slice(bytes);
        let mut seen = Vec::new();
        while let Some(&[kind, _, _, high, low]) = self.bytes.first_chunk::<RECORD_HEADER>() {
            let end = RECORD_HEADER + usize::from(u16::from_be_bytes([high, low]));
            let Some(record) = self.bytes.get(RECORD_HEADER..end) else { break };
            match (kind, self.encrypted) {
                (CHANGE_CIPHER_SPEC, _) => self.encrypted = true,
                (_, true) => self.finished = true,
                (HANDSHAKE, false) => self.handshake.extend_from_slice(record),
                (ALERT, false) => seen.extend(record.get(1).map(|code| Seen::Alert(*code))),
                _ => {}
            }
            self.bytes.drain(..end);
        }
        while let Some(&[kind, a, b, c]) = self.handshake.first_chunk::<4>() {
            let end = 4 + u32::from_be_bytes([0, a, b, c]) as usize;
            let Some(body) = self.handshake.get(4..end) else { break };
            seen.push(Seen::Message(kind, body.to_vec()));
            self.handshake.drain(..end);
        }
        seen
    }
}

/// One connection.
#[derive(Default)]
pub struct Wiretap {
    client: Direction,
    server: Direction,
    sni: Option<String>,
    version: Option<String>,
    suite: Option<String>,
    client_certificate: bool,
    told: bool,
    /// The client has sent a whole flight, and nothing has come back yet.
    owed: bool,
}

impl Wiretap {
    /// Bytes of the client.
    pub fn client_sent(&mut self, bytes: &[u8]) -> Option<EventKind> {
        let mut event = None;
        for seen in self.client.push(bytes) {
            match seen {
                Seen::Message(CLIENT_HELLO, body) => {
                    self.sni = client_hello(&body);
                    self.owed = true;
                }
                // A list of length 0 is a client that has none.
                Seen::Message(CERTIFICATE, body) => self.client_certificate = body.len() > 3,
                Seen::Message(..) => {}
                Seen::Alert(code) => event = self.failed("the client", code),
            }
        }
        self.owed |= self.client.finished && !self.told;
        event
    }

    /// Bytes of the server; yields the event once when the handshake is complete, or has failed.
    pub fn server_sent(&mut self, bytes: &[u8]) -> Option<EventKind> {
        let mut event = None;
        self.owed = false;
        for seen in self.server.push(bytes) {
            match seen {
                Seen::Message(SERVER_HELLO, body) => {
                    let hello = server_hello(&body);
                    self.version = hello.map(|(version, _)| version_name(version));
                    self.suite = hello.map(|(_, suite)| suite_name(suite));
                }
                Seen::Message(..) => {}
                Seen::Alert(code) => event = self.failed("the broker", code),
            }
        }
        if self.client.finished && self.server.finished && !self.told {
            self.told = true;
            event = Some(EventKind::TlsEstablished {
                sni: self.sni.clone(),
                version: self.version.clone().unwrap_or_else(|| "unknown".to_owned()),
                suite: self.suite.clone().unwrap_or_else(|| "unknown".to_owned()),
                client_certificate: self.client_certificate,
            });
        }
        event
    }

    /// Whether the server is to speak next in the handshake.
    pub fn owes_handshake(&self) -> bool {
        self.owed && !self.told
    }

    /// Whether the server may have an answer: not in the middle of a record, nor of a flight of the handshake.
    pub fn may_answer(&self) -> bool {
        self.client.bytes.is_empty() && (self.told || self.owed)
    }

    fn failed(&mut self, who: &str, code: u8) -> Option<EventKind> {
        let first = !std::mem::replace(&mut self.told, true);
        first.then(|| EventKind::TlsFailed { why: format!("{who} ended the handshake with alert {code}") })
    }
}

/// Takes a number of bytes off the front.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(front)
}

fn number(bytes: &mut &[u8], count: usize) -> Option<usize> {
    Some(take(bytes, count)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// Body of an extension.
fn extension(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    let len = number(&mut bytes, 2)?;
    let mut list = take(&mut bytes, len)?;
    loop {
        let kind = number(&mut list, 2)?;
        let len = number(&mut list, 2)?;
        let body = take(&mut list, len)?;
        if kind == usize::from(wanted) {
            return Some(body);
        }
    }
}

/// The name in the server_name extension (RFC 6066 section 3).
fn client_hello(mut body: &[u8]) -> Option<String> {
    take(&mut body, 2 + 32)?;
    let session = number(&mut body, 1)?;
    take(&mut body, session)?;
    let suites = number(&mut body, 2)?;
    take(&mut body, suites)?;
    let compressions = number(&mut body, 1)?;
    take(&mut body, compressions)?;
    let mut names = extension(body, SERVER_NAME)?;
    take(&mut names, 2 + 1)?;
    let len = number(&mut names, 2)?;
    String::from_utf8(take(&mut names, len)?.to_vec()).ok()
}

/// Version and cipher suite.
fn server_hello(mut body: &[u8]) -> Option<(usize, usize)> {
    let legacy = number(&mut body, 2)?;
    take(&mut body, 32)?;
    let session = number(&mut body, 1)?;
    take(&mut body, session)?;
    let suite = number(&mut body, 2)?;
    take(&mut body, 1)?;
    // From 1.3 on the version is in an extension.
    let version = extension(body, SUPPORTED_VERSIONS).and_then(|mut body| number(&mut body, 2));
    Some((version.unwrap_or(legacy), suite))
}

fn version_name(version: usize) -> String {
    match version {
        0x0303 => "TLSv1_2".to_owned(),
        0x0304 => "TLSv1_3".to_owned(),
        other => format!("{other:#06x}"),
    }
}

/// Names of the suites that IoT Hub takes.
fn suite_name(suite: usize) -> String {
    match suite {
        0xC02F => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned(),
        0xC030 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384".to_owned(),
        0xC027 => "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256".to_owned(),
        0xC028 => "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384".to_owned(),
        other => format!("{other:#06x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 3, 3];
        bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
        bytes.extend_from_slice(body);
        bytes
    }

    fn hello_of_client(name: &str) -> Vec<u8> {
        let len = |count: usize| (count as u16).to_be_bytes();
        let mut body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0xC0, 0x2F], &[1, 0]].concat();
        let names = [&len(name.len() + 3)[..], &[0], &len(name.len()), name.as_bytes()].concat();
        // Another extension first.
        let extensions = [&[0, 10, 0, 2, 1, 2][..], &[0, 0], &len(names.len()), &names].concat();
        body.extend_from_slice(&len(extensions.len()));
        body.extend_from_slice(&extensions);
        message(CLIENT_HELLO, &body)
    }

    fn hello_of_server(suite: [u8; 2], extensions: &[u8]) -> Vec<u8> {
        let mut body = [&[3, 3][..], &[9; 32], &[0], &suite, &[0]].concat();
        if !extensions.is_empty() {
            body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
            body.extend_from_slice(extensions);
        }
        message(SERVER_HELLO, &body)
    }

    /// Both directions of a handshake, byte by byte.
    fn listen(server_hello: &[u8]) -> Option<EventKind> {
        let mut tap = Wiretap::default();
        let mut events = Vec::new();
        let hello = record(HANDSHAKE, &hello_of_client("hub.example"));
        for byte in &hello {
            events.extend(tap.client_sent(&[*byte]));
        }
        assert!(tap.may_answer() && tap.owes_handshake());
        // A message may be cut by records.
        let (one, two) = server_hello.split_at(10);
        for byte in [record(HANDSHAKE, one), record(HANDSHAKE, two)].concat() {
            events.extend(tap.server_sent(&[byte]));
        }
        let certificate = record(HANDSHAKE, &message(CERTIFICATE, &[0, 0, 0]));
        events.extend(tap.client_sent(&certificate));
        assert!(!tap.may_answer(), "in the middle of a flight");
        let end = [record(CHANGE_CIPHER_SPEC, &[1]), record(HANDSHAKE, &[5; 40])].concat();
        events.extend(tap.client_sent(&end));
        assert!(tap.owes_handshake());
        events.extend(tap.server_sent(&end[..8]));
        assert!(events.is_empty());
        let event = tap.server_sent(&end[8..]);
        assert!(tap.server_sent(&record(23, &[0; 9])).is_none());
        tap.client_sent(&record(23, &[0; 9])[..7]);
        assert!(!tap.may_answer() && !tap.owes_handshake());
        event
    }

    #[test]
    fn handshake_tells_name_version_and_suite_when_it_is_complete() {
        let wanted = |version: &str, suite: &str| {
            Some(EventKind::TlsEstablished {
                sni: Some("hub.example".to_owned()),
                version: version.to_owned(),
                suite: suite.to_owned(),
                client_certificate: false,
            })
        };
        let event = listen(&hello_of_server([0xC0, 0x2F], &[]));
        assert_eq!(event, wanted("TLSv1_2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
        let event = listen(&hello_of_server([0x13, 0x01], &[0, 43, 0, 2, 3, 4]));
        assert_eq!(event, wanted("TLSv1_3", "0x1301"));
    }

    #[test]
    fn alert_in_the_handshake_is_a_failure_once() {
        let mut tap = Wiretap::default();
        let event = tap.server_sent(&record(ALERT, &[2, 40]));
        let Some(EventKind::TlsFailed { why }) = event else { panic!("{event:?}") };
        assert_eq!(why, "the broker ended the handshake with alert 40");
        assert!(tap.client_sent(&record(ALERT, &[2, 0])).is_none());
    }

    #[test]
    fn garbage_tells_nothing() {
        for byte in 0..=255_u8 {
            let mut tap = Wiretap::default();
            assert!(tap.client_sent(&record(HANDSHAKE, &message(CLIENT_HELLO, &[byte; 70]))).is_none());
            assert!(tap.server_sent(&record(HANDSHAKE, &message(SERVER_HELLO, &[byte; 70]))).is_none());
            assert!(tap.client_sent(&[byte; 3000]).is_none());
        }
    }
}
