//! A GDB server: `gdb-multiarch program.elf -ex "target remote :PORT"`.

mod control;
mod points;
mod registers;
mod target;

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use gdbstub::common::Signal;
use gdbstub::conn::ConnectionExt as _;
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::stub::{DisconnectReason, GdbStub, SingleThreadStopReason};

use super::console;
use super::handle::{Client, Gone, Handle, Message};
use target::GdbTarget;

/// Wall-clock time between two looks whether the core has stopped or GDB has sent something.
const POLL: Duration = Duration::from_micros(500);

/// Serves one GDB after the other until the board is gone.
pub(super) fn serve(listener: &TcpListener, board: &Handle) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if board.tell(Message::Came(Client::Gdb)).is_err() {
            return;
        }
        let ended = client(stream, board);
        if board.tell(Message::Went(Client::Gdb)).is_err() || ended == Err(Gone) {
            return;
        }
    }
}

fn client(stream: TcpStream, board: &Handle) -> Result<(), Gone> {
    let mut target = GdbTarget::new(board.clone())?;
    match GdbStub::new(stream).run_blocking::<Loop>(&mut target) {
        Ok(DisconnectReason::TargetExited(status)) => return board.tell(Message::Exited(status)),
        Ok(_) => {}
        Err(error) if error.is_target_error() => return Err(Gone),
        // A connection that breaks is how many a debugger goes.
        Err(error) if error.is_connection_error() => {}
        Err(error) => console::note(&format!("gdb: {error}; connection closed")),
    }
    target.release()
}

enum Loop {}

impl BlockingEventLoop for Loop {
    type Target = GdbTarget;
    type Connection = TcpStream;
    type StopReason = SingleThreadStopReason<u32>;

    fn wait_for_stop_reason(
        target: &mut GdbTarget,
        connection: &mut TcpStream,
    ) -> Result<Event<Self::StopReason>, WaitForStopReasonError<Gone, std::io::Error>> {
        loop {
            if connection.peek().map_err(WaitForStopReasonError::Connection)?.is_some() {
                let byte = connection.read().map_err(WaitForStopReasonError::Connection)?;
                return Ok(Event::IncomingData(byte));
            }
            if let Some(reason) = target.stopped().map_err(WaitForStopReasonError::Target)? {
                return Ok(Event::TargetStopped(reason));
            }
            std::thread::sleep(POLL);
        }
    }

    fn on_interrupt(target: &mut GdbTarget) -> Result<Option<Self::StopReason>, Gone> {
        target.interrupt()?;
        Ok(Some(SingleThreadStopReason::Signal(Signal::SIGINT)))
    }
}
