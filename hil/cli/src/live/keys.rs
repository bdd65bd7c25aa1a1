//! Keys on the runner's own terminal.

use std::io::Read as _;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::handle::{Handle, Message};

/// What the keys do, for people.
pub(super) const HELP: &str = "keys: b button, B hold or release it, r reset, p power, u Ethernet cable, q quit";

/// The terminal gives keys at once while this lives.
pub(super) struct Keys {
    before: Termios,
}

impl Keys {
    /// Passes keys on, if standard input is a terminal.
    pub fn listen(board: Handle) -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        let before = tcgetattr(stdin).ok()?;
        let mut now = before.clone();
        // Ctrl-C stays what it is.
        now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(stdin, OptionalActions::Now, &now).ok()?;
        std::thread::spawn(move || {
            let mut key = [0];
            while std::io::stdin().read(&mut key).is_ok_and(|len| len == 1) {
                if board.tell(Message::Key(key[0])).is_err() {
                    return;
                }
            }
        });
        Some(Self { before })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.before);
    }
}
