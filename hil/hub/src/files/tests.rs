use core::time::Duration;

use proptest::prelude::*;

use super::range::Range;
use super::*;
use crate::event::{CloseReason, EventKind};

const GET: &str = "GET /x/fw.bin HTTP/1.1\r\nHost: h\r\n";

fn clock(seconds: u64) -> Clock {
    Clock { utc: Utc::new(1_767_225_600), now: Instant::from_nanos(seconds * 1_000_000_000) }
}

struct Server {
    service: Service,
    connection: Connection,
    events: Vec<EventKind>,
}

impl Server {
    fn new(size: usize) -> Self {
        let mut service = Service::new("h".into(), b"secret");
        let body = (0..size).map(|i| (i % 251) as u8).collect();
        let file = File { id: "e".into(), name: "fw.bin".into(), protected: false, body };
        service.publish("/x/fw.bin".into(), file);
        Self { service, connection: Connection::new(Instant::ZERO), events: Vec::new() }
    }

    /// Sends a request and yields head and body of everything that comes back.
    fn exchange(&mut self, request: &str) -> (String, Vec<u8>) {
        self.connection.receive(&clock(0), request.as_bytes(), &mut self.service, &mut self.events);
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
    assert_eq!(server.events[1], EventKind::RangeServed { file: "fw.bin".into(), offset: 0, len: 100, status: 206 });
}

#[test]
fn what_cannot_be_served_is_answered_and_the_connection_goes_on() {
    let mut server = Server::new(10);
    for (request, status) in [
        (format!("{GET}Range: bytes=10-\r\n\r\n"), "416"),
        (format!("{GET}Range: bytes=-0\r\n\r\n"), "416"),
        (format!("{GET}Range: bytes=5-4\r\n\r\n"), "200"),
        (format!("{GET}Range: bytes=0-1,3-4\r\n\r\n"), "416"),
        (format!("{GET}Range: bytes=0-1,x\r\n\r\n"), "200"),
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
        connection.receive(&clock(0), piece, service, events);
    }
    let first = connection.transmit();
    assert!(first.ends_with(b"\r\n\r\n\0"));
    connection.answer(&clock(0), service, events);
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
fn an_update_file_is_served_only_with_the_url_as_it_was_given() {
    let mut server = Server::new(10);
    let file = File { protected: true, ..server.service.file("/x/fw.bin").expect("published").clone() };
    server.service.publish("/x/fw.bin".into(), file);
    let url = server.service.url("/x/fw.bin", 1_767_225_600 + 60);
    let target = url.strip_prefix("http://h").expect("the host").to_owned();
    let mut ask = |target: &str, seconds| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        server.connection.receive(&clock(seconds), request.as_bytes(), &mut server.service, &mut server.events);
        String::from_utf8(server.connection.transmit()).expect("text")
    };
    assert!(ask(&target, 59).starts_with("HTTP/1.1 200 OK"));
    for (target, seconds, part) in [
        (target.clone(), 60, "expired 0 s ago"),
        (target.replace("se=17", "se=27"), 0, "altered"),
        (target.replace("sig=", "sig=0"), 0, "altered"),
        (target.replace("se=", "se=x"), 0, "not a Unix time"),
        (target.replace("&sig", "&gis"), 0, "no `sig`"),
        ("/x/fw.bin".into(), 0, "no signature"),
    ] {
        let answer = ask(&target, seconds);
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden") && answer.contains(part), "{target}: {answer}");
    }
    assert_eq!(server.connection.ended(), None);
}

#[test]
fn entity_tags_save_a_download() {
    let mut server = Server::new(10);
    let (head, body) = server.get("If-None-Match: \"x\", W/\"e\"\r\n");
    assert!(head.starts_with("HTTP/1.1 304 Not Modified") && !head.contains("Content-Length"), "{head}");
    assert!(head.contains("ETag: \"e\"\r\n") && body.is_empty(), "{head}");
    assert!(server.get("If-None-Match: \"x\"\r\n").0.contains("200 OK"));
    assert!(server.get("If-Range: \"e\"\r\nRange: bytes=1-2\r\n").0.contains("206 Partial"));
    assert!(server.get("If-Range: W/\"e\"\r\nRange: bytes=1-2\r\n").0.contains("200 OK"), "weak tags do not do");
}

#[test]
fn lies_of_the_head_and_of_the_length() {
    let mut server = Server::new(100);
    let mut ask = |fault: FileFault| {
        server.service.set_fault("e", fault);
        server.get("Range: bytes=10-19\r\n")
    };
    let (head, body) = ask(FileFault { extra_bytes: Some(5), ..FileFault::default() });
    assert!(head.contains("Content-Length: 15\r\n") && body.len() == 15 && body[10..] == [0; 5], "{head}");
    let (head, body) = ask(FileFault { content_length: Some(7), ..FileFault::default() });
    assert!(head.contains("Content-Length: 7\r\n") && body.len() == 10, "{head}");
    let (head, _) = ask(FileFault { content_range: Some("bytes 0-9/100".into()), ..FileFault::default() });
    assert!(head.contains("Content-Range: bytes 0-9/100\r\n") && !head.contains("10-19"), "{head}");
    let (head, body) = ask(FileFault { ignore_range: true, remaining: Some(1), ..FileFault::default() });
    assert!(head.contains("200 OK") && body.len() == 100, "{head}");
    assert!(server.get("Range: bytes=10-19\r\n").0.contains("206 Partial"), "the fault has passed");
    let mut ask = |fault: FileFault| {
        server.service.set_fault("e", fault);
        server.get("Range: bytes=10-19\r\n")
    };
    let (head, body) = ask(FileFault { redirect: Some("http://other/fw.bin".into()), ..FileFault::default() });
    assert!(head.contains("302 Found") && head.contains("Location: http://other/fw.bin\r\n"), "{head}");
    assert_eq!(body, b"this redirection was asked for\n");
    for status in [404, 416, 500] {
        let (head, _) = ask(FileFault { status: Some(status), ..FileFault::default() });
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    server.service.set_fault("e", FileFault { status: Some(500), after: 2, ..FileFault::default() });
    let statuses: Vec<String> = (0..4).map(|_| server.get("").0[9..12].to_owned()).collect();
    assert_eq!(statuses, ["200", "200", "500", "500"]);
    server.service.set_fault("e", FileFault { drop_after: Some(30), ..FileFault::default() });
    server.connection.receive(&clock(0), format!("{GET}\r\n").as_bytes(), &mut server.service, &mut server.events);
    assert_eq!((server.connection.transmit().len(), server.connection.ended()), (30, Some(&CloseReason::HttpDone)));
}

#[test]
fn a_slowed_body_comes_at_its_pace() {
    let mut server = Server::new(1000);
    server.service.set_fault("fw.bin", FileFault { bytes_per_second: Some(100), ..FileFault::default() });
    let Server { service, connection, events } = &mut server;
    connection.receive(&clock(0), format!("{GET}\r\n").as_bytes(), service, events);
    assert!(connection.transmit().ends_with(b"\r\n\r\n"), "the head comes at once");
    let (mut body, mut now) = (0, Instant::ZERO);
    while body < 1000 {
        assert!(!connection.has_output());
        now = connection.poll_at();
        connection.poll(now);
        body += connection.transmit().len();
    }
    assert_eq!((body, now), (1000, Instant::ZERO + Duration::from_secs(10)));
    service.set_fault("fw.bin", FileFault { bytes_per_second: Some(0), ..FileFault::default() });
    connection.receive(&clock(10), format!("{GET}\r\n").as_bytes(), service, events);
    connection.transmit();
    connection.poll(connection.poll_at());
    assert_eq!(connection.ended(), None, "what was sent counts as life");
    connection.poll(connection.poll_at());
    assert_eq!(connection.ended(), Some(&CloseReason::Idle));
}

#[test]
fn a_client_that_does_not_read_costs_no_memory() {
    let mut server = Server::new(1_000_000);
    let Server { service, connection, events } = &mut server;
    for _ in 0..1400 {
        connection.receive(&clock(0), format!("{GET}\r\n").as_bytes(), service, events);
    }
    assert_eq!((events.len(), connection.ended()), (1, None), "the others wait for the first answer");
    let piece = connection.transmit().len();
    assert!((64 * 1024..66 * 1024).contains(&piece), "{piece}");
    connection.receive(&clock(0), &[b'x'; 64 * 1024], service, events);
    assert!(matches!(connection.ended(), Some(CloseReason::Protocol(_))));
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
            Some(Range::Several) => prop_assert!(false),
            Some(Range::Unsatisfiable) => prop_assert!(first >= size),
            Some(Range::Bytes(start, end)) => prop_assert!(start < end && end <= size && start == first),
        }
    }

    #[test]
    fn any_range_header_is_answered(text in "(bytes=)?[0-9, x=-]{0,24}", size in 0_u64..300) {
        let mut server = Server::new(size as usize);
        let (head, body) = server.get(&format!("Range: {text}\r\n"));
        match &head[9..12] {
            "200" => prop_assert_eq!(body.len() as u64, size),
            "206" => {
                let line = format!("Content-Length: {}\r\n", body.len());
                prop_assert!(head.contains(&line) && !body.is_empty() && body.len() as u64 <= size);
                let range = head.split("Content-Range: bytes ").nth(1).and_then(|rest| rest.split_once('-'));
                let first: usize = range.expect("a range").0.parse().expect("a number");
                prop_assert_eq!(usize::from(body[0]), first % 251);
            }
            "416" => {
                let line = format!("Content-Range: bytes */{size}\r\n");
                prop_assert!(head.contains(&line));
            }
            other => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn requests_in_any_pieces_give_the_same_bytes(
        requests in proptest::collection::vec("(GET|HEAD|PUT) /[xy]/fw[.]bin([?]a=b)?", 1..5),
        cut in 1_usize..40,
    ) {
        let text: String = requests.iter().map(|line| format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n")).collect();
        let run = |cut: usize| {
            let mut server = Server::new(20);
            let Server { service, connection, events } = &mut server;
            let mut out = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                connection.receive(&clock(0), piece, service, events);
                while connection.has_output() {
                    out.extend(connection.transmit());
                    connection.answer(&clock(0), service, events);
                }
            }
            (out, events.len())
        };
        let (whole, answers) = run(text.len());
        prop_assert_eq!(answers, requests.len());
        prop_assert_eq!(run(cut), (whole, answers));
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut server = Server::new(3);
        server.connection.receive(&clock(0), &bytes, &mut server.service, &mut server.events);
        server.connection.transmit();
    }
}
