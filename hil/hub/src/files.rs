//! The HTTP/1.1 server from which devices download: GET and HEAD, single ranges, keep-alive (RFC 9110, RFC 9112).

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use sim_base::Instant;

use crate::event::{CloseReason, EventKind};

/// Longest request head, bytes.
const MAX_HEAD: usize = 8 * 1024;
/// Bytes of further requests that may wait while an answer is being sent.
const MAX_PIPELINED: usize = 64 * 1024;
/// Most header fields of a request.
const MAX_FIELDS: usize = 48;
/// A connection without a request for so long is closed.
const IDLE: Duration = Duration::from_secs(120);
/// Bytes of a body that are handed out at once.
const CHUNK: u64 = 64 * 1024;

/// A fault of the file server, for one file.
///
/// Offsets count from the start of the file, whatever range is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileFault {
    /// Every bit of this byte is inverted.
    pub flip_byte_at: Option<u64>,
    /// The connection closes before this byte is sent, whatever Content-Length said.
    pub truncate_at: Option<u64>,
    /// From this byte on nothing is sent, and the connection stays open.
    pub stall_at: Option<u64>,
    /// Requests are answered with this status and no body, e.g. 403 or 503.
    pub status: Option<u16>,
    /// How many answers are spoilt before the fault is gone; all of them if `None`.
    pub remaining: Option<u32>,
}

#[derive(Clone, Debug)]
struct File {
    name: String,
    etag: String,
    body: Arc<[u8]>,
    fault: FileFault,
}

/// The files and their faults.
#[derive(Clone, Debug, Default)]
pub struct Service {
    files: BTreeMap<String, File>,
}

impl Service {
    /// Publishes a file under an absolute path such as `/a/b.bin`.
    pub fn publish(&mut self, path: String, name: String, etag: String, body: Arc<[u8]>) {
        self.files.insert(path, File { name, etag, body, fault: FileFault::default() });
    }

    /// Sets the fault of every file of this name; `FileFault::default()` heals it. Yields how many files there are.
    pub fn set_fault(&mut self, name: &str, fault: FileFault) -> usize {
        let files = self.files.values_mut().filter(|file| file.name == name);
        files.map(|file| file.fault = fault).count()
    }
}

/// The server's half of one connection.
#[derive(Debug)]
pub struct Connection {
    rx: Vec<u8>,
    head: Vec<u8>,
    body: Option<Body>,
    heard: Instant,
    close_after: bool,
    ended: Option<CloseReason>,
}

#[derive(Debug)]
struct Body {
    bytes: Arc<[u8]>,
    at: u64,
    end: u64,
    flip: Option<u64>,
    cut: Cut,
}

/// What happens when a body has been sent as far as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    None,
    Close,
    Stall,
}

impl Connection {
    /// A connection that was opened at `now`.
    pub fn new(now: Instant) -> Self {
        Self { rx: Vec::new(), head: Vec::new(), body: None, heard: now, close_after: false, ended: None }
    }

    /// Takes bytes from the network and answers the requests in them.
    pub fn receive(
        &mut self,
        now: Instant,
        date: &impl Fn() -> String,
        bytes: &[u8],
        service: &mut Service,
        events: &mut Vec<EventKind>,
    ) {
        if self.ended.is_some() {
            return;
        }
        self.heard = now;
        self.rx.extend_from_slice(bytes);
        if self.rx.len() > MAX_PIPELINED {
            self.end(CloseReason::Protocol("too many requests wait for their turn".into()));
            return;
        }
        self.answer(date, service, events);
    }

    /// Answers the next request once the previous answer has left.
    pub fn answer(&mut self, date: &impl Fn() -> String, service: &mut Service, events: &mut Vec<EventKind>) {
        if self.ended.is_some() || self.close_after || self.body.is_some() || !self.head.is_empty() {
            return;
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let (answer, len) = match request.parse(&self.rx) {
            Ok(httparse::Status::Partial) if self.rx.len() <= MAX_HEAD => return,
            Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD => (Answer::to(&request, service), len),
            Ok(_) => (Answer::error(431, "-"), self.rx.len()),
            Err(_) => (Answer::error(400, "-"), self.rx.len()),
        };
        self.rx.drain(..len);
        self.close_after = answer.close;
        self.head = answer.head(&date()).into_bytes();
        let served = answer.body.as_ref();
        events.push(EventKind::RangeServed {
            offset: served.map_or(0, |body| body.at),
            len: served.map_or(0, |body| body.end - body.at),
            status: answer.status,
            file: answer.file,
        });
        self.body = answer.body;
    }

    /// Takes what is to be sent now, at most 64 KiB of a body at a time.
    pub fn transmit(&mut self) -> Vec<u8> {
        let mut out = core::mem::take(&mut self.head);
        if let Some(body) = &mut self.body {
            let upto = body.end.min(body.at + CHUNK);
            let start = out.len();
            out.extend_from_slice(&body.bytes[body.at as usize..upto as usize]);
            if let Some(flip) = body.flip.filter(|flip| (body.at..upto).contains(flip)) {
                out[start + (flip - body.at) as usize] ^= 0xFF;
            }
            body.at = upto;
            if body.at == body.end {
                match body.cut {
                    Cut::None => self.body = None,
                    Cut::Close => self.end(CloseReason::HttpDone),
                    Cut::Stall => {}
                }
            }
        }
        if self.close_after && !self.has_output() {
            self.end(CloseReason::HttpDone);
        }
        out
    }

    /// Whether [`transmit`](Self::transmit) would yield bytes.
    pub fn has_output(&self) -> bool {
        !self.head.is_empty() || self.body.as_ref().is_some_and(|body| body.at < body.end)
    }

    /// Ends the connection.
    pub fn end(&mut self, why: CloseReason) {
        self.ended.get_or_insert(why);
        self.body = None;
    }

    /// Why the connection ended, once it has.
    pub fn ended(&self) -> Option<&CloseReason> {
        self.ended.as_ref()
    }

    /// Ends an idle connection.
    pub fn poll(&mut self, now: Instant) {
        if now >= self.poll_at() {
            self.end(CloseReason::Idle);
        }
    }

    /// When [`poll`](Self::poll) next has something to do.
    pub fn poll_at(&self) -> Instant {
        if self.ended.is_some() { Instant::NEVER } else { self.heard + IDLE }
    }
}

struct Answer {
    status: u16,
    file: String,
    fields: Vec<(&'static str, String)>,
    content_length: u64,
    body: Option<Body>,
    close: bool,
}

impl Answer {
    fn error(status: u16, file: &str) -> Self {
        // A head that was not understood leaves the position of the next request unknown.
        let close = matches!(status, 400 | 413 | 431 | 505);
        Self { status, file: file.to_owned(), fields: Vec::new(), content_length: 0, body: None, close }
    }

    fn to(request: &httparse::Request<'_, '_>, service: &mut Service) -> Self {
        let target = request.path.unwrap_or_default();
        let field = |name: &str| {
            request
                .headers
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case(name))
                .and_then(|field| core::str::from_utf8(field.value).ok())
                .map(str::trim)
        };
        // Host is required in HTTP/1.1 (RFC 9112 section 3.2); a gateway forwards the one of the original server.
        if request.version == Some(1) && field("host").is_none_or(str::is_empty) {
            return Self::error(400, target);
        }
        if field("transfer-encoding").is_some() || field("content-length").is_some_and(|len| len != "0") {
            return Self::error(413, target);
        }
        let option = |wanted| {
            field("connection").is_some_and(|list| list.split(',').any(|o| o.trim().eq_ignore_ascii_case(wanted)))
        };
        let close = option("close") || (request.version == Some(0) && !option("keep-alive"));
        let mut answer = Self::for_file(request.method.unwrap_or_default(), target, &field, service);
        answer.close |= close;
        answer
    }

    fn for_file<'a>(
        method: &str,
        target: &str,
        field: &impl Fn(&str) -> Option<&'a str>,
        service: &mut Service,
    ) -> Self {
        if method != "GET" && method != "HEAD" {
            let mut answer = Self::error(405, target);
            answer.fields.push(("Allow", "GET, HEAD".into()));
            return answer;
        }
        // Both the origin form and the absolute form that proxies get (RFC 9112 section 3.2).
        let path = target.strip_prefix("http://").map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
        let path = path.split('?').next().unwrap_or_default();
        let Some(file) = service.files.get_mut(path) else { return Self::error(404, target) };
        if let Some(status) = file.fault.status
            && file.fault.strikes()
        {
            return Self::error(status, &file.name);
        }
        let size = file.body.len() as u64;
        if field("if-match").is_some_and(|etag| etag != "*" && etag != file.etag) {
            return Self::error(412, &file.name);
        }
        let current = field("if-range").is_none_or(|etag| etag == file.etag);
        let range = field("range").filter(|_| current && method == "GET").and_then(|text| Range::parse(text, size));
        let mut fields = vec![
            ("Content-Type", "application/octet-stream".to_owned()),
            ("Accept-Ranges", "bytes".to_owned()),
            ("ETag", file.etag.clone()),
        ];
        let (status, start, end) = match range {
            None => (200, 0, size),
            Some(Range::Unsatisfiable) => {
                let mut answer = Self::error(416, &file.name);
                answer.fields.push(("Content-Range", format!("bytes */{size}")));
                return answer;
            }
            Some(Range::Bytes(start, end)) => {
                fields.push(("Content-Range", format!("bytes {start}-{}/{size}", end - 1)));
                (206, start, end)
            }
        };
        let body =
            (method == "GET").then(|| Body { bytes: file.body.clone(), at: start, end, flip: None, cut: Cut::None });
        let body = body.map(|body| file.fault.spoil(body));
        Self { status, file: file.name.clone(), fields, content_length: end - start, body, close: false }
    }

    fn head(&self, date: &str) -> String {
        let reason = match self.status {
            200 => "OK",
            206 => "Partial Content",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            416 => "Range Not Satisfiable",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            _ => "Unspecified",
        };
        let connection = if self.close { "close" } else { "keep-alive" };
        let mut head = format!("HTTP/1.1 {} {reason}\r\nDate: {date}\r\n", self.status);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\nConnection: {connection}\r\n\r\n", self.content_length));
        head
    }
}

impl FileFault {
    /// Whether the fault is still there for one more answer.
    fn strikes(&mut self) -> bool {
        match &mut self.remaining {
            None => true,
            Some(0) => false,
            Some(remaining) => {
                *remaining -= 1;
                true
            }
        }
    }

    fn spoil(&mut self, mut body: Body) -> Body {
        let range = body.at..body.end;
        let hit = |offset: Option<u64>| offset.filter(|offset| range.contains(offset));
        let (flip, truncate, stall) = (hit(self.flip_byte_at), hit(self.truncate_at), hit(self.stall_at));
        if (flip.is_some() || truncate.is_some() || stall.is_some()) && self.strikes() {
            body.flip = flip;
            match (truncate, stall) {
                (Some(truncate), stall) if stall.is_none_or(|stall| truncate <= stall) => {
                    (body.end, body.cut) = (truncate, Cut::Close);
                }
                (_, Some(stall)) => (body.end, body.cut) = (stall, Cut::Stall),
                _ => {}
            }
        }
        body
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// First byte, and the one after the last.
    Bytes(u64, u64),
    Unsatisfiable,
}

impl Range {
    /// RFC 9110 section 14.1.2; `None` for what a server may ignore: other units, several ranges, bad syntax.
    fn parse(text: &str, size: u64) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            // Numbers beyond 64 bits are beyond every file.
            digits.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let (start, end) = match (first, last) {
            ("", suffix) => (size.saturating_sub(number(suffix)?), if number(suffix)? == 0 { 0 } else { size }),
            (first, "") => (number(first)?, size),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                (first, last.saturating_add(1).min(size))
            }
        };
        Some(if start >= end { Self::Unsatisfiable } else { Self::Bytes(start, end) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GET: &str = "GET /x/fw.bin HTTP/1.1\r\nHost: h\r\n";

    fn date() -> String {
        "-".to_owned()
    }

    struct Server {
        service: Service,
        connection: Connection,
        events: Vec<EventKind>,
    }

    impl Server {
        fn new(size: usize) -> Self {
            let mut service = Service::default();
            let body = (0..size).map(|i| (i % 251) as u8).collect();
            service.publish("/x/fw.bin".into(), "fw.bin".into(), "\"e\"".into(), body);
            Self { service, connection: Connection::new(Instant::ZERO), events: Vec::new() }
        }

        /// Sends a request and yields head and body of everything that comes back.
        fn exchange(&mut self, request: &str) -> (String, Vec<u8>) {
            self.connection.receive(Instant::ZERO, &date, request.as_bytes(), &mut self.service, &mut self.events);
            let mut out = Vec::new();
            while self.connection.has_output() {
                out.extend(self.connection.transmit());
            }
            let at = out.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
            let body = out.split_off(at + 4);
            (String::from_utf8(out).expect("text"), body)
        }

        fn get(&mut self, fields: &str) -> (String, Vec<u8>) {
            self.exchange(&format!("{GET}{fields}\r\n"))
        }
    }

    #[test]
    fn a_whole_file_and_its_ranges() {
        let mut server = Server::new(200_000);
        let (head, body) = server.get("");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nContent-Length: 200000\r\n"), "{head}");
        assert_eq!(body.len(), 200_000);
        for (range, content_range, first, len) in [
            ("bytes=0-99", "0-99", 0, 100),
            ("bytes=199990-300000", "199990-199999", 199_990, 10),
            ("bytes=100-", "100-199999", 100, 199_900),
            ("bytes=-5", "199995-199999", 199_995, 5),
        ] {
            let (head, part) = server.get(&format!("Range: {range}\r\n"));
            assert!(head.starts_with("HTTP/1.1 206 Partial Content\r\n"), "{head}");
            assert!(head.contains(&format!("\r\nContent-Range: bytes {content_range}/200000\r\n")), "{head}");
            assert_eq!(part, body[first..first + len]);
        }
        assert_eq!(
            server.events[1],
            EventKind::RangeServed { file: "fw.bin".into(), offset: 0, len: 100, status: 206 }
        );
    }

    #[test]
    fn what_cannot_be_served_is_answered_and_the_connection_goes_on() {
        let mut server = Server::new(10);
        for (request, status) in [
            (format!("{GET}Range: bytes=10-\r\n\r\n"), "416"),
            (format!("{GET}Range: bytes=-0\r\n\r\n"), "416"),
            (format!("{GET}Range: bytes=5-4\r\n\r\n"), "200"),
            (format!("{GET}Range: bytes=0-1,3-4\r\n\r\n"), "200"),
            (format!("{GET}Range: bytes=0-1\r\nIf-Range: \"other\"\r\n\r\n"), "200"),
            (format!("{GET}If-Match: \"other\"\r\n\r\n"), "412"),
            ("GET /y HTTP/1.1\r\nHost: h\r\n\r\n".into(), "404"),
            ("DELETE /x/fw.bin HTTP/1.1\r\nHost: h\r\n\r\n".into(), "405"),
            ("GET http://h/x/fw.bin?sig=1 HTTP/1.1\r\nHost: h\r\n\r\n".into(), "200"),
        ] {
            let (head, _) = server.exchange(&request);
            assert_eq!(&head[9..12], status, "{request}");
            assert_eq!(server.connection.ended(), None, "{request}");
        }
        let (head, body) = server.exchange("HEAD /x/fw.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\n\r\n");
        assert!(head.contains("200 OK") && head.contains("Content-Length: 10\r\n") && body.is_empty(), "{head}");
        let (head, _) = server.exchange("GET /x/fw.bin HTTP/1.1\r\n\r\n");
        assert_eq!((&head[9..12], server.connection.ended()), ("400", Some(&CloseReason::HttpDone)));
    }

    #[test]
    fn a_request_in_pieces_and_two_in_one_are_answered_in_order() {
        let mut server = Server::new(10);
        let Server { service, connection, events } = &mut server;
        let twice = format!("{GET}Range: bytes=0-0\r\n\r\n{GET}Range: bytes=1-1\r\nConnection: close\r\n\r\n");
        for piece in twice.as_bytes().chunks(7) {
            connection.receive(Instant::ZERO, &date, piece, service, events);
        }
        let first = connection.transmit();
        assert!(first.ends_with(b"\r\n\r\n\0"));
        connection.answer(&date, service, events);
        assert!(connection.transmit().ends_with(b"\r\n\r\n\x01"));
        assert_eq!(connection.ended(), Some(&CloseReason::HttpDone));
    }

    #[test]
    fn faults_strike_where_and_as_often_as_they_are_told() {
        let mut server = Server::new(1000);
        let fault = FileFault { flip_byte_at: Some(500), remaining: Some(1), ..FileFault::default() };
        assert_eq!(server.service.set_fault("fw.bin", fault), 1);
        let (_, clean) = server.get("Range: bytes=0-99\r\n");
        assert_eq!(clean[0], 0);
        let (_, spoilt) = server.get("Range: bytes=400-599\r\n");
        let (_, healed) = server.get("Range: bytes=400-599\r\n");
        assert_eq!(spoilt[100], !healed[100]);
        assert_eq!(spoilt[..100], healed[..100]);
        server.service.set_fault("fw.bin", FileFault { status: Some(503), remaining: Some(1), ..FileFault::default() });
        assert!(server.get("").0.contains("503 Service Unavailable"));
        server.service.set_fault("fw.bin", FileFault { stall_at: Some(10), ..FileFault::default() });
        assert_eq!(server.get("").1.len(), 10);
        assert_eq!(server.connection.ended(), None);
        let mut server = Server::new(1000);
        server.service.set_fault("fw.bin", FileFault { truncate_at: Some(10), ..FileFault::default() });
        let (head, body) = server.get("");
        assert!(head.contains("Content-Length: 1000\r\n"));
        assert_eq!((body.len(), server.connection.ended()), (10, Some(&CloseReason::HttpDone)));
    }

    #[test]
    fn an_endless_head_is_refused() {
        let mut server = Server::new(1);
        let (head, _) = server.exchange(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000)));
        assert_eq!((&head[9..12], server.connection.ended()), ("431", Some(&CloseReason::HttpDone)));
    }

    proptest! {
        #[test]
        fn a_range_is_inside_the_file(first in 0_u64..20, last in 0_u64..20, size in 0_u64..15) {
            match Range::parse(&format!("bytes={first}-{last}"), size) {
                None => prop_assert!(last < first),
                Some(Range::Unsatisfiable) => prop_assert!(first >= size),
                Some(Range::Bytes(start, end)) => prop_assert!(start < end && end <= size && start == first),
            }
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut server = Server::new(3);
            server.connection.receive(Instant::ZERO, &date, &bytes, &mut server.service, &mut server.events);
            server.connection.transmit();
        }
    }
}
