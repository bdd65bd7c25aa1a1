//! Requests at the file server.
//!
//! Input: pieces of a byte (kind) and what the kind says, all on one connection.

use std::sync::Arc;

use hub::Utc;
use hub::files::{Clock, Connection, File, Service};
use sim_base::Instant;

use super::EPOCH;
use crate::Input;

/// A length (16 bits) and so many bytes.
pub const RAW: u8 = 0;
/// Which method and file, a length (8 bits), and so many bytes of a Range header's value.
pub const RANGE: u8 = 1;
/// Which file, first byte and last byte (16 bits each).
pub const BYTES: u8 = 2;
/// A signed URL: seconds of validity (8 bits, -128 to 127), an offset into it and a byte to put there (0: none).
pub const SIGNED: u8 = 3;
const KINDS: u8 = 4;

/// Lengths of the files.
const SIZES: [usize; 3] = [0, 1, 70_000];
const PROTECTED: &str = "/x/protected.bin";

fn body(size: usize) -> Arc<[u8]> {
    (0..size).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn service() -> Service {
    let mut service = Service::new("files.test".to_owned(), b"secret");
    for size in SIZES {
        let file = File { id: format!("f{size}"), name: format!("{size}.bin"), protected: false, body: body(size) };
        service.publish(format!("/f/{size}"), file);
    }
    let file = File { id: "p".to_owned(), name: "protected.bin".to_owned(), protected: true, body: body(10) };
    service.publish(PROTECTED.to_owned(), file);
    service
}

/// Sends the requests whole and in single bytes.
///
/// # Panics
/// If an answer is not sound HTTP, has bytes that are not the file's, a length that is not that of its body, or depends on
/// how the requests were cut.
pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let service = service();
    let mut requests = Vec::new();
    while !input.is_empty() && requests.len() < 32 * 1024 {
        requests.extend(request(&mut input, &service));
    }
    let whole = answers(&requests, usize::MAX);
    // The answers to what came are those of the whole; more than waits for its turn at once ends the connection.
    let single = answers(&requests, 1);
    assert!(whole == single, "another answer to the same bytes in pieces");
    check(&requests, &whole, &service);
}

fn request(input: &mut Input<'_>, service: &Service) -> Vec<u8> {
    let kind = input.byte() % KINDS;
    let method = |which: u8| if which & 0x80 == 0 { "GET" } else { "HEAD" };
    let path = |which: u8| SIZES.get(usize::from(which & 3)).map_or(PROTECTED.to_owned(), |size| format!("/f/{size}"));
    match kind {
        RAW => {
            let len = input.half().into();
            input.slice(len).to_vec()
        }
        RANGE => {
            let (which, len) = (input.byte(), input.byte().into());
            let head = format!("{} {} HTTP/1.1\r\nHost: a\r\nRange: ", method(which), path(which));
            [head.as_bytes(), input.slice(len), b"\r\n\r\n"].concat()
        }
        BYTES => {
            let (which, first, last) = (input.byte(), input.half(), input.half());
            let head = format!("{} {} HTTP/1.1\r\nHost: a\r\n", method(which), path(which));
            format!("{head}Range: bytes={first}-{last}\r\n\r\n").into_bytes()
        }
        _ => {
            let seconds = i64::from(input.byte() as i8);
            let url = service.url(PROTECTED, EPOCH.saturating_add_signed(seconds));
            let mut target = url.strip_prefix("http://files.test").unwrap_or_default().as_bytes().to_vec();
            let (at, byte) = (usize::from(input.byte()), input.byte());
            if byte != 0
                && let Some(place) = target.get_mut(at)
            {
                *place = byte;
            }
            [b"GET ", target.as_slice(), b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat()
        }
    }
}

/// Everything that comes back.
fn answers(requests: &[u8], step: usize) -> Vec<u8> {
    let (mut service, mut events, mut out) = (service(), Vec::new(), Vec::new());
    let clock = Clock { utc: Utc::new(EPOCH), now: Instant::ZERO };
    let mut connection = Connection::new(Instant::ZERO);
    for chunk in requests.chunks(step.min(requests.len().max(1))) {
        connection.receive(&clock, chunk, &mut service, &mut events);
        let mut turns = 0;
        while connection.has_output() {
            let piece = connection.transmit();
            assert!(!piece.is_empty() && piece.len() <= 64 * 1024 + 1024, "{} bytes", piece.len());
            out.extend(piece);
            connection.answer(&clock, &mut service, &mut events);
            turns += 1;
            assert!(turns < 100_000, "it never ends");
        }
    }
    out
}

/// Request by request: what HTTP (RFC 9110, RFC 9112) says of the answer, and what the files hold.
fn check(requests: &[u8], mut answers: &[u8], service: &Service) {
    let mut rest = requests;
    while !answers.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(head)) = answer.parse(answers) else {
            panic!("no head of an answer: {}", answers[..answers.len().min(200)].escape_ascii())
        };
        let field = |name: &str| {
            let mut all = answer.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            let one = all.next().map(|field| str::from_utf8(field.value).expect("text").to_owned());
            assert!(all.next().is_none(), "{name} twice");
            one
        };
        let status = answer.code.expect("complete");
        let length = field("content-length").map(|len| len.parse::<usize>().expect("a number"));
        let (close, range) = (field("connection").as_deref() == Some("close"), field("content-range"));
        answers = &answers[head..];

        let mut fields = [httparse::EMPTY_HEADER; 48];
        let mut request = httparse::Request::new(&mut fields);
        let parsed = request.parse(rest);
        let method = request.method.unwrap_or_default().to_owned();
        let target = request.path.unwrap_or_default().to_owned();
        let complete = matches!(parsed, Ok(httparse::Status::Complete(_)));
        let has_body = status != 304 && !(method == "HEAD" && complete && matches!(status, 200..=299 | 400..));
        let length = if has_body { length.expect("a length") } else { 0 };
        let (content, later) = answers.split_at_checked(length).expect("as long as it says");
        answers = later;

        let path = target.strip_prefix("http://").map_or(target.as_str(), |rest| &rest[rest.find('/').unwrap_or(0)..]);
        let (path, query) = path.split_once('?').map_or((path, ""), |(path, query)| (path, query));
        match status {
            200 | 206 => {
                let file = service.file(path).expect("there is one");
                if file.protected {
                    check_signature(path, query, service);
                }
                let (start, end) = match (&range, status) {
                    (None, 200) => (0, file.body.len()),
                    (Some(range), 206) => extent(range, file.body.len()),
                    other => panic!("{other:?}"),
                };
                if method == "GET" {
                    assert!(content == &file.body[start..end], "not the bytes {start}..{end} of the file");
                }
            }
            416 => {
                let size = service.file(path).expect("there is one").body.len();
                assert_eq!(range, Some(format!("bytes */{size}")));
            }
            304 | 403 | 404 | 405 | 412 | 413 | 400 | 431 => assert_eq!(range, None),
            other => panic!("status {other}"),
        }
        if close {
            assert!(answers.is_empty(), "bytes after `Connection: close`");
            return;
        }
        let Ok(httparse::Status::Complete(len)) = parsed else {
            panic!("{status} to what is no request, and it goes on")
        };
        rest = &rest[len..];
    }
}

/// First byte and the one after the last of `bytes a-b/size`.
fn extent(range: &str, size: usize) -> (usize, usize) {
    let (bytes, of) = range.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).expect("a range");
    let (first, last) = bytes.split_once('-').expect("a range");
    let number = |text: &str| text.parse::<usize>().expect("a number");
    assert_eq!(number(of), size);
    assert!(number(first) <= number(last) && number(last) < size);
    (number(first), number(last) + 1)
}

/// The query is that of a URL that the server made, and it has not expired.
fn check_signature(path: &str, query: &str, service: &Service) {
    let field = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
    let expires: u64 = field("se=").expect("an expiry").parse().expect("a number");
    let signature = field("sig=").expect("a signature");
    assert!(service.url(path, expires).ends_with(&format!("&sig={signature}")), "{query}");
    assert!(expires > EPOCH, "expired");
}
