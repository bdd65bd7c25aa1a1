//! How other threads reach the board: its owner serves them between two stretches of virtual time, in the order of
//! their requests, so that neither the board nor a debugger can keep the other from its turn.

use std::sync::mpsc::{Receiver, Sender, channel};

use same54_sim::Board;

/// Something to be done with the board.
type Call = Box<dyn FnOnce(&mut Board) + Send>;

/// Kinds of debuggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// GDB leaves semihosting to the board's owner.
    Gdb,
    /// probe-rs serves it itself.
    ProbeRs,
}

/// What the board's owner is told.
pub(super) enum Message {
    /// Do this.
    Call(Call),
    /// Characters for the virtual COM port.
    Uart(Vec<u8>),
    /// A key on the runner's own terminal.
    Key(u8),
    /// A debugger came.
    Came(Client),
    /// A debugger went.
    Went(Client),
    /// GDB has been told that the program exited with this status.
    Exited(u8),
    /// Come to an end.
    Stop,
}

/// The owner has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the board has come to its end")]
pub(super) struct Gone;

/// One end of the line to the board's owner.
#[derive(Clone)]
pub(super) struct Handle(Sender<Message>);

impl Handle {
    /// A line.
    pub fn new() -> (Self, Receiver<Message>) {
        let (sender, receiver) = channel();
        (Self(sender), receiver)
    }

    /// Leaves a message.
    pub fn tell(&self, message: Message) -> Result<(), Gone> {
        self.0.send(message).map_err(|_| Gone)
    }

    /// Does something with the board and waits for the result.
    pub fn with<R: Send + 'static>(&self, work: impl FnOnce(&mut Board) -> R + Send + 'static) -> Result<R, Gone> {
        let (sender, result) = channel();
        let call = move |board: &mut Board| {
            // Who asked may have ended meanwhile.
            let _ = sender.send(work(board));
        };
        self.tell(Message::Call(Box::new(call)))?;
        result.recv().map_err(|_| Gone)
    }
}
