//! What happens to bytes once the handshake is done.

mod common;

use common::*;
use device_tls::{Error, INBOUND_LEN, Reason, Session};
use embassy_futures::poll_once;
use embedded_io_async::{Read, Write};

fn connected<R>(prepare: impl FnOnce(&mut Pipe), then: impl AsyncFnOnce(Session<'_, Pipe>) -> R) -> R {
    let chain = chain(&Leaf::default());
    let mut pipe = Pipe::new(server(chain.presented, &chain.root, &ServerOptions::default()));
    prepare(&mut pipe);
    with_session(&PLATFORM, &chain.root, HOST, pipe, then).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

async fn read_all(session: &mut Session<'_, Pipe>, len: usize, piece: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = vec![0; piece];
    while all.len() < len {
        let n = session.read(&mut buf).await.unwrap();
        assert_ne!(n, 0);
        all.extend_from_slice(&buf[..n]);
    }
    all
}

#[test]
fn echoes_more_than_all_buffers_hold() {
    connected(
        |pipe| pipe.echo = true,
        async |mut session| {
            let sent = pattern(50_000);
            session.write_all(&sent).await.unwrap();
            session.flush().await.unwrap();
            assert_eq!(session.transport().received, sent);
            assert_eq!(read_all(&mut session, sent.len(), 777).await, sent);
        },
    );
}

#[test]
fn full_records_arrive_whole_through_a_small_and_a_large_buffer() {
    for piece in [1, 1000, 16_384, 40_000] {
        let data = pattern(3 * 16_384 + 5);
        connected(
            |pipe| pipe.step = 1460,
            async |mut session| {
                session.transport_mut().server_says(&data);
                assert!(session.transport().to_client.len() > INBOUND_LEN);
                assert_eq!(read_all(&mut session, data.len(), piece).await, data, "pieces of {piece}");
            },
        );
    }
}

#[test]
fn a_cancelled_read_loses_nothing() {
    let data = pattern(20_000);
    connected(
        |_| (),
        async |mut session| {
            session.transport_mut().server_says(&data);
            // From here each transport read is pending once, and the future is dropped each time it is.
            session.transport_mut().hesitate = true;
            session.transport_mut().step = 100;
            let (mut all, mut cancelled) = (Vec::new(), 0);
            let mut buf = [0; 300];
            while all.len() < data.len() {
                match poll_once(session.read(&mut buf)) {
                    std::task::Poll::Ready(n) => all.extend_from_slice(&buf[..n.unwrap()]),
                    std::task::Poll::Pending => cancelled += 1,
                }
            }
            assert_eq!(all, data);
            assert!(cancelled > 100, "{cancelled}");
        },
    );
}

#[test]
fn writing_does_not_disturb_what_is_half_read() {
    let data = pattern(5_000);
    connected(
        |_| (),
        async |mut session| {
            // One and a half records are in the inbound buffer, and a part of the first is taken.
            session.transport_mut().server_says(&data[..3_000]);
            session.transport_mut().server_says(&data[3_000..]);
            session.transport_mut().step = 4_000;
            let mut buf = [0; 100];
            let n = session.read(&mut buf).await.unwrap();
            let mut all = buf[..n].to_vec();
            session.write_all(b"ping").await.unwrap();
            session.flush().await.unwrap();
            assert_eq!(session.transport().received, b"ping");
            let rest = data.len() - all.len();
            all.extend(read_all(&mut session, rest, 333).await);
            assert_eq!(all, data);
        },
    );
}

#[test]
fn a_read_sends_what_was_written_before() {
    connected(
        |pipe| pipe.echo = true,
        async |mut session| {
            session.write_all(b"no flush").await.unwrap();
            assert_eq!(read_all(&mut session, 8, 100).await, b"no flush");
        },
    );
}

#[test]
fn close_notify_is_the_end_and_a_cut_is_an_error() {
    connected(
        |_| (),
        async |mut session| {
            session.transport_mut().server_says(b"last words");
            session.transport_mut().server_closes();
            let mut buf = [0; 100];
            assert_eq!(session.read(&mut buf).await, Ok(10));
            assert_eq!(session.read(&mut buf).await, Ok(0));
            assert_eq!(session.read(&mut buf).await, Ok(0));
            assert_eq!(session.write(b"late").await, Err(Error::Closed));
        },
    );
    connected(
        |_| (),
        async |mut session| {
            let mut buf = [0; 100];
            assert_eq!(session.read(&mut buf).await, Err(Error::UnexpectedEof));
            assert_eq!(session.read(&mut buf).await, Err(Error::Closed));
            assert_eq!(session.write(b"late").await, Err(Error::Closed));
        },
    );
}

#[test]
fn closing_tells_the_server() {
    connected(
        |_| (),
        async |mut session| {
            session.write_all(b"bye").await.unwrap();
            session.close().await.unwrap();
            let pipe = session.transport_mut();
            assert_eq!(pipe.received, b"bye");
            let state = pipe.server.process_new_packets().unwrap();
            assert!(state.peer_has_closed());
            assert_eq!(session.write(b"late").await, Err(Error::Closed));
        },
    );
}

#[test]
fn a_forged_record_ends_the_session() {
    connected(
        |_| (),
        async |mut session| {
            session.transport_mut().server_says(&pattern(1000));
            session.transport_mut().to_client[500] ^= 0x10;
            let mut buf = [0; 2000];
            let error = session.read(&mut buf).await.unwrap_err();
            assert_eq!(error, Error::Tls(rustls::Error::DecryptError));
            assert_eq!(error.reason(), Reason::Protocol);
            assert_eq!(session.read(&mut buf).await, Err(Error::Closed));
        },
    );
}
