//! A TCP port to which probe-rs' own tools attach: `probe-rs attach --probe 20b7:9db1:tcp:127.0.0.1:PORT ...`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use sim_probe::Wired;
use sim_probe::glasgow::Glasgow;

use super::console;
use super::handle::{Client, Gone, Handle, Message};

/// Serves one client after the other until the board is gone.
pub(super) fn serve(listener: &TcpListener, board: &Handle) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if board.tell(Message::Came(Client::ProbeRs)).is_err() {
            return;
        }
        let ended = client(stream, board);
        if board.tell(Message::Went(Client::ProbeRs)).is_err() || ended == Err(Gone) {
            return;
        }
    }
}

fn client(mut stream: TcpStream, board: &Handle) -> Result<(), Gone> {
    // An answer is one small packet that the client waits for.
    let _ = stream.set_nodelay(true);
    // When the board ends, even by a signal, the connection is reset: probe-rs' driver takes an orderly end for an answer
    // that is still to come, and would wait for ever. Nothing is lost, answers have been read before the next request.
    let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
    let mut glasgow = Glasgow::new();
    let mut buffer = [0; 1 << 16];
    loop {
        let received = match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return Ok(()),
            Ok(len) => buffer[..len].to_vec(),
        };
        // One visit for all that has come: the client sends a batch and then waits.
        let answer;
        (glasgow, answer) = board.with(move |board| {
            let answer = glasgow.receive(&mut Wired(board), &received);
            (glasgow, answer)
        })?;
        match answer {
            Ok(answer) => {
                if stream.write_all(&answer).is_err() {
                    return Ok(());
                }
            }
            Err(why) => {
                console::note(&format!("probe: the client is no probe-rs ({why}); connection closed"));
                return Ok(());
            }
        }
    }
}
