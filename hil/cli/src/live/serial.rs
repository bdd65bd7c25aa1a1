//! The EDBG's virtual COM port on the host's side: a file, a pseudo-terminal.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::LiveError;
use super::handle::{Handle, Message};

/// Where characters go that the program sends.
#[derive(Default)]
pub(super) struct Serial {
    file: Option<(PathBuf, File)>,
    pty: Option<Arc<OwnedFd>>,
}

impl Serial {
    /// Writes to `path` from now on.
    pub fn open_file(&mut self, path: &Path) -> Result<(), LiveError> {
        let file = File::create(path).map_err(LiveError::write(path))?;
        self.file = Some((path.to_owned(), file));
        Ok(())
    }

    /// Opens a pseudo-terminal and returns its path. What is typed there goes to the program.
    pub fn open_pty(&mut self, board: Handle) -> Result<String, LiveError> {
        let (master, slave, name) = open_pty().map_err(|errno| LiveError::Pty(errno.into()))?;
        let master = Arc::new(master);
        self.pty = Some(Arc::clone(&master));
        std::thread::spawn(move || read_keys(&master, slave, &board));
        Ok(name)
    }

    /// Characters from the program.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LiveError> {
        if let Some((path, file)) = &mut self.file {
            file.write_all(bytes).map_err(LiveError::write(path))?;
        }
        if let Some(pty) = &self.pty {
            // Nobody listens, or too slowly: characters are lost, as on a real serial line.
            let _ = rustix::io::write(pty, bytes);
        }
        Ok(())
    }
}

fn open_pty() -> Result<(OwnedFd, OwnedFd, String), Errno> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?.into_string().map_err(|_| Errno::INVAL)?;
    // Kept open, so that a terminal program may come and go.
    let slave = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
    let mut line = tcgetattr(&slave)?;
    // No echo, no line editing, no translation: the program is the other side.
    line.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &line)?;
    let flags = rustix::fs::fcntl_getfl(&master)?;
    rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
    Ok((master, slave, name))
}

fn read_keys(master: &OwnedFd, _slave: OwnedFd, board: &Handle) {
    let mut buffer = [0; 256];
    loop {
        match rustix::io::read(master, &mut buffer) {
            Ok(0) => return,
            Ok(len) => {
                if board.tell(Message::Uart(buffer[..len].to_vec())).is_err() {
                    return;
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => return,
        }
    }
}
