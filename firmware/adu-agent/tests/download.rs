//! Downloading by ranges.

use adu_agent::download::{Connection, Error, REQUEST_LEN, Retry, Url};
use proptest::prelude::*;

const SIZE: u32 = 10_000;

fn url() -> Url<'static> {
    Url::parse("http://files.example:8080/a/b.bin?sig=x%2Fy").unwrap()
}

fn file() -> Vec<u8> {
    (0..SIZE).map(|at| (at * 31 / 8) as u8).collect()
}

fn range_response(offset: u32, len: u32) -> Vec<u8> {
    let last = offset + len - 1;
    let mut response =
        format!("HTTP/1.1 206 Partial Content\r\nServer: x\r\nContent-Length: {len}\r\nContent-Range: bytes {offset}-{last}/{SIZE}\r\n\r\n")
            .into_bytes();
    response.extend(&file()[offset as usize..][..len as usize]);
    response
}

fn whole_response() -> Vec<u8> {
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").into_bytes();
    response.extend(file());
    response
}

fn ask(connection: &mut Connection, offset: u32, len: u32) -> Result<String, Error> {
    let mut out = [0; REQUEST_LEN];
    let len = connection.request(&url(), offset, len, &mut out)?;
    Ok(String::from_utf8(out[..len].to_vec()).unwrap())
}

/// Feeds `input` in pieces; the bytes that came out, whether the range was done, and what was left.
fn feed<'a>(
    connection: &mut Connection,
    mut input: &'a [u8],
    piece: usize,
) -> Result<(Vec<u8>, bool, &'a [u8]), Error> {
    let mut out = Vec::new();
    let mut offset = None;
    while !input.is_empty() {
        let mut part = &input[..piece.min(input.len())];
        while !part.is_empty() {
            let chunk = connection.receive(part)?;
            if !chunk.data.is_empty() {
                let expected = *offset.get_or_insert(chunk.offset) + out.len() as u32;
                assert_eq!(chunk.offset, expected);
            }
            out.extend(chunk.data);
            part = &part[chunk.consumed..];
            input = &input[chunk.consumed..];
            if chunk.is_done {
                return Ok((out, true, input));
            }
        }
    }
    Ok((out, false, input))
}

#[test]
fn urls_are_taken_apart() {
    let url = url();
    assert_eq!((url.host, url.port, url.authority), ("files.example", 8080, "files.example:8080"));
    assert_eq!(url.path, "/a/b.bin?sig=x%2Fy");
    let plain = Url::parse("HTTP://10.0.0.1").unwrap();
    assert_eq!((plain.host, plain.port, plain.path), ("10.0.0.1", 80, "/"));
    for bad in [
        "",
        "http://",
        "http:///x",
        "https://x/y",
        "http://x:0/",
        "http://x:99999/",
        "http://x:/",
        "http://u@x/",
        "http://x/a b",
        "http://x/\r\n",
        "http://x/#f",
        "http://ü/",
        "http://[::1]/",
        "http://x?y",
        "//x/y",
    ] {
        assert_eq!(Url::parse(bad), None, "{bad}");
    }
    assert_eq!(Url::host_port("cache.local:8080"), Some(("cache.local", 8080)));
}

#[test]
fn requests_name_host_and_range() {
    let mut connection = Connection::new(SIZE);
    assert_eq!(
        ask(&mut connection, 4096, 512).unwrap(),
        "GET /a/b.bin?sig=x%2Fy HTTP/1.1\r\nHost: files.example:8080\r\nRange: bytes=4096-4607\r\nAccept-Encoding: identity\r\n\r\n"
    );
}

#[test]
fn ranges_outside_the_file_are_not_asked_for() {
    for (offset, len) in [(0, 0), (SIZE, 1), (0, SIZE + 1), (u32::MAX, 2)] {
        assert_eq!(ask(&mut Connection::new(SIZE), offset, len), Err(Error::Request));
    }
    let mut connection = Connection::new(SIZE);
    assert_eq!(connection.request(&url(), 0, 1, &mut [0; 20]), Err(Error::Request));
    assert_eq!(ask(&mut connection, 0, 1).map(|_| ()), Ok(()), "and the connection can still be used");
}

#[test]
fn every_valid_url_fits_the_request_buffer() {
    let text = format!("http://{}/{}", "h".repeat(253), "p".repeat(512 - 261));
    assert_eq!(text.len(), 512);
    let mut connection = Connection::new(u32::MAX);
    let mut out = [0; REQUEST_LEN];
    let url = Url::parse(&text).unwrap();
    assert!(connection.request(&url, u32::MAX - 10, 10, &mut out).is_ok());
}

#[test]
fn a_connection_is_used_for_range_after_range() {
    for piece in [1, 7, 100, 100_000] {
        let mut connection = Connection::new(SIZE);
        let mut all = Vec::new();
        while (all.len() as u32) < SIZE {
            let offset = all.len() as u32;
            let len = 4088.min(SIZE - offset);
            assert!(connection.is_reusable());
            ask(&mut connection, offset, len).unwrap();
            let (data, done, rest) = feed(&mut connection, &range_response(offset, len), piece)
                .map(|(data, done, rest)| (data, done, rest.len()))
                .unwrap();
            assert!(done);
            assert_eq!((data.len() as u32, rest), (len, 0));
            all.extend(data);
        }
        assert_eq!(all, file());
    }
}

#[test]
fn a_server_that_ignores_ranges_is_read_on() {
    let whole = whole_response();
    let mut connection = Connection::new(SIZE);
    let mut input = &whole[..];
    let mut all = Vec::new();
    for offset in (0..SIZE).step_by(1000) {
        let request = ask(&mut connection, offset, 1000).unwrap();
        assert_eq!(request.is_empty(), offset > 0);
        let (data, done, rest) = feed(&mut connection, input, 333).unwrap();
        assert!(done);
        all.extend(data);
        input = rest;
    }
    assert_eq!(all, file());
}

#[test]
fn a_server_that_ignores_ranges_can_be_resumed() {
    let mut connection = Connection::new(SIZE);
    ask(&mut connection, 5000, 100).unwrap();
    let whole = whole_response();
    let (data, done, _) = feed(&mut connection, &whole, 64).unwrap();
    assert!(done);
    assert_eq!(data, file()[5000..5100]);
}

#[test]
fn the_last_block_of_a_closing_server_is_taken() {
    let mut connection = Connection::new(SIZE);
    ask(&mut connection, 0, 10).unwrap();
    let mut response =
        b"HTTP/1.1 206 x\r\nConnection: close\r\nContent-Length: 10\r\nContent-Range: bytes 0-9/*\r\n\r\n".to_vec();
    response.extend(&file()[..10]);
    let (data, done, _) = feed(&mut connection, &response, 5).unwrap();
    assert!(done && data.len() == 10);
    assert!(!connection.is_reusable());
    assert_eq!(ask(&mut connection, 10, 10), Err(Error::Order));
}

fn response_to_first_100(head: &str) -> Result<(Vec<u8>, bool), Error> {
    let mut connection = Connection::new(SIZE);
    ask(&mut connection, 0, 100).unwrap();
    let mut response = head.replace('\n', "\r\n").into_bytes();
    response.extend(&file()[..200]);
    let result = feed(&mut connection, &response, 50).map(|(data, done, _)| (data, done));
    if result.is_err() {
        assert!(!connection.is_reusable());
    }
    result
}

#[test]
fn responses_that_do_not_match_the_request_are_refused() {
    for (head, error) in [
        ("HTTP/1.1 206 x\nContent-Length: 99\nContent-Range: bytes 0-99/10000\n\n", Error::Range),
        ("HTTP/1.1 206 x\nContent-Length: 101\nContent-Range: bytes 0-100/10000\n\n", Error::Range),
        ("HTTP/1.1 206 x\nContent-Length: 100\nContent-Range: bytes 1-100/10000\n\n", Error::Range),
        ("HTTP/1.1 206 x\nContent-Length: 100\nContent-Range: bytes 0-99/10001\n\n", Error::Range),
        ("HTTP/1.1 206 x\nContent-Length: 100\n\n", Error::Range),
        ("HTTP/1.1 206 x\nContent-Range: bytes 0-99/10000\n\n", Error::NoLength),
        ("HTTP/1.1 206 x\nContent-Length: 100\nContent-Range: pages 0-99/10000\n\n", Error::Malformed),
        ("HTTP/1.1 206 x\nContent-Length: -1\nContent-Range: bytes 0-99/10000\n\n", Error::Malformed),
        ("HTTP/1.1 206 x\nContent-Length: 100\nContent-Length: 5\n\n", Error::Malformed),
        ("HTTP/1.1 200 OK\nContent-Length: 9999\n\n", Error::Range),
        ("HTTP/1.1 200 OK\n\n", Error::NoLength),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", Error::NoLength),
        ("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 10000\n\n", Error::Malformed),
        ("HTTP/1.1 302 Found\nLocation: http://elsewhere/\n\n", Error::Status(302)),
        ("HTTP/1.1 404 Not Found\nContent-Length: 0\n\n", Error::Status(404)),
        ("HTTP/1.1 416 x\n\n", Error::Status(416)),
        ("HTTP/1.1 503 x\n\n", Error::Status(503)),
        ("HTTP/2 200\n\n", Error::Malformed),
        ("SSH-2.0\n\n", Error::Malformed),
        ("HTTP/1.1 abc\n\n", Error::Malformed),
    ] {
        assert_eq!(response_to_first_100(head), Err(error), "{head}");
    }
}

#[test]
fn header_names_have_any_case_and_long_headers_do_not_matter() {
    let head = format!(
        "HTTP/1.1 100 Continue\n\nHTTP/1.1 206 x\nX-Long: {}\ncontent-LENGTH:100\ncontent-range: bytes 0-99/10000 \n\n",
        "y".repeat(5000)
    );
    let (data, done) = response_to_first_100(&head).unwrap();
    assert!(done);
    assert_eq!(data, file()[..100], "and what follows the range is not delivered");
}

#[test]
fn bytes_without_a_request_are_an_error() {
    let mut connection = Connection::new(SIZE);
    assert_eq!(connection.receive(b"x"), Err(Error::Order));
    let mut connection = Connection::new(SIZE);
    ask(&mut connection, 0, 100).unwrap();
    let mut response = range_response(0, 100);
    response.extend(b"more");
    let (_, _, rest) = feed(&mut connection, &response, 1000).unwrap();
    assert_eq!(rest, b"more");
    assert_eq!(connection.receive(rest), Err(Error::Order));
}

#[test]
fn pauses_grow_and_end() {
    let mut retry = Retry::new();
    let pauses: Vec<_> = std::iter::from_fn(|| retry.failed(None, 0)).collect();
    assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    let mut retry = Retry::new();
    for _ in 0..100 {
        assert_eq!(retry.failed(Some(Error::Status(503)), 0), Some(500));
        retry.progressed();
    }
    assert_eq!(Retry::new().failed(None, u32::MAX), Some(500 + u32::MAX % 501));
}

#[test]
fn errors_that_would_repeat_are_final() {
    for (error, is_final) in [
        (Error::Status(404), true),
        (Error::Status(403), true),
        (Error::Status(302), true),
        (Error::Status(416), true),
        (Error::Status(408), false),
        (Error::Status(429), false),
        (Error::Status(500), false),
        (Error::Range, true),
        (Error::Malformed, false),
    ] {
        assert_eq!(Retry::new().failed(Some(error), 0).is_none(), is_final, "{error:?}");
    }
}

proptest! {
    #[test]
    fn whatever_arrives_never_more_than_the_range_is_delivered(
        head in prop::sample::select(vec!["", "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n",
            "HTTP/1.1 206 x\r\nContent-Length: 50\r\nContent-Range: bytes 100-149/10000\r\n\r\n"]),
        garbage in proptest::collection::vec(any::<u8>(), 0..600),
        piece in 1_usize..80,
    ) {
        let mut connection = Connection::new(SIZE);
        ask(&mut connection, 100, 50).unwrap();
        let input = [head.as_bytes(), &garbage].concat();
        if let Ok((data, done, _)) = feed(&mut connection, &input, piece) {
            prop_assert!(data.len() <= 50);
            prop_assert_eq!(done, data.len() == 50);
        }
    }

    #[test]
    fn url_parsing_never_panics(text: String) {
        if let Some(url) = Url::parse(&text) {
            prop_assert!(url.path.starts_with('/') && !url.host.is_empty());
        }
    }
}
