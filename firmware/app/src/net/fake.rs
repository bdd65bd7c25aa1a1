//! A server on the network's side of a port, for tests.

use core::ops::Range;
use std::format;
use std::string::String;
use std::vec::Vec;

use embassy_futures::select::{Either, select};

use super::port::{Port, State};

/// What the server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 206 with the range.
    Range,
    /// The first bytes of a 206, then the connection breaks.
    Break(usize),
    /// 200 with the whole file, as a server that ignores ranges does.
    Whole,
    /// This status, without a body.
    Status(u16),
    /// Nothing, ever.
    Silence,
}

/// Serves `file` on `port` for ever; `answer` is told each range that is asked for.
pub(crate) async fn serve(port: &'static Port, file: &[u8], mut answer: impl FnMut(Range<u32>) -> Answer) -> ! {
    loop {
        port.to_net.clear();
        port.from_net.clear();
        port.close.reset();
        port.set_state(State::Idle);
        let _target = port.open.wait().await;
        port.set_state(State::Busy);
        port.opened.signal(Ok(()));
        let talk = async {
            loop {
                let range = range_of(&request(port).await);
                let body = &file[range.start as usize..range.end as usize];
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {}-{}/{}\r\n\r\n",
                    body.len(),
                    range.start,
                    range.end - 1,
                    file.len()
                );
                match answer(range) {
                    Answer::Range => {
                        port.from_net.write_all(head.as_bytes()).await;
                        port.from_net.write_all(body).await;
                    }
                    Answer::Break(len) => {
                        port.from_net.write_all(head.as_bytes()).await;
                        port.from_net.write_all(&body[..len.min(body.len())]).await;
                        return;
                    }
                    Answer::Whole => {
                        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
                        port.from_net.write_all(head.as_bytes()).await;
                        port.from_net.write_all(file).await;
                    }
                    Answer::Status(status) => {
                        let head = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
                        port.from_net.write_all(head.as_bytes()).await;
                    }
                    Answer::Silence => core::future::pending().await,
                }
            }
        };
        if let Either::First(()) = select(talk, port.close.wait()).await {
            port.set_state(State::Broken);
            port.close.wait().await;
        }
    }
}

async fn request(port: &Port) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        port.to_net.read(&mut byte).await;
        text.push(byte[0]);
    }
    String::from_utf8(text).expect("a request is text")
}

fn range_of(request: &str) -> Range<u32> {
    let (_, range) = request.split_once("Range: bytes=").expect("a range is asked for");
    let (range, _) = range.split_once("\r\n").expect("the line ends");
    let (first, last) = range.split_once('-').expect("both ends are given");
    first.parse().expect("a number")..last.parse::<u32>().expect("a number") + 1
}
