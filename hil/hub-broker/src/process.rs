//! Mosquitto as a child process that never outlives its parent.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Input;
use crate::error::BrokerError;
use crate::settings;

/// Lines that are kept for an error.
const KEPT: usize = 6;
/// Time that the broker gets to end by itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs the program in its arguments, and ends it when standard input ends: the parent holds its other end, and closes it
/// by dying too, however that happens. Exits as the program does.
pub(crate) const GUARD: &str = r#"
exec 3<&0
"$@" 3<&- &
program=$!
{ read -r _ <&3; kill "$program"; } 2>/dev/null &
guard=$!
wait "$program"
code=$?
kill "$guard" 2>/dev/null
exit "$code"
"#;

/// Last lines of the log.
#[derive(Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// As one line.
    pub fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() { "none".to_owned() } else { lines.join(" | ") }
    }

    /// The same, of a broker that has ended just now: its last lines may still be on their way.
    pub fn settled(&self) -> String {
        std::thread::sleep(Duration::from_millis(100));
        self.text()
    }
}

/// Hands on a log, line by line, until it ends.
pub(crate) fn follow(slot: usize, log: impl std::io::Read + Send + 'static, tail: Tail, inputs: Sender<Input>) {
    std::thread::spawn(move || {
        let mut log = BufReader::new(log);
        let mut line = Vec::new();
        loop {
            line.clear();
            if !matches!(log.read_until(b'\n', &mut line), Ok(1..)) {
                let _ = inputs.send(Input::Ended { slot });
                return;
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            tail.push(text);
            if inputs.send(Input::Line { slot, text: text.to_owned() }).is_err() {
                return;
            }
        }
    });
}

/// The process.
pub(crate) struct Process(Child);

impl Process {
    /// Starts the broker with the configuration of a directory.
    pub fn start(slot: usize, directory: &Path, tail: Tail, inputs: Sender<Input>) -> Result<Self, BrokerError> {
        let program = installed().ok_or(BrokerError::NotInstalled)?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", GUARD, "mosquitto"])
            .arg(&program)
            .args(["-c", settings::FILE])
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for the hub, which then ends it.
            .process_group(0)
            .spawn()
            .map_err(|why| BrokerError::Start { program, why })?;
        if let Some(log) = child.stderr.take() {
            follow(slot, log, tail, inputs);
        }
        Ok(Self(child))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let end = Instant::now() + PATIENCE;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where `mosquitto` is on this machine; `None` if [`Place::Process`](crate::Place) cannot be had.
pub fn installed() -> Option<PathBuf> {
    find("mosquitto", std::env::var_os("PATH").as_deref())
}

/// A program in `path`, or where Debian keeps servers, which is not in every user's path.
fn find(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let dirs = path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
    let own = ["/usr/sbin", "/usr/local/sbin"].into_iter().map(PathBuf::from);
    dirs.into_iter().chain(own).map(|dir| dir.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn servers_are_found_beyond_the_path() {
        assert!(find("sh", Some(OsStr::new("/nowhere:/bin"))).is_some());
        assert!(find("no-such-broker", Some(OsStr::new("/bin"))).is_none());
    }

    /// What the guard does with `sleep` it does with any program.
    #[test]
    fn guarded_program_ends_with_the_standard_input_of_its_guard() {
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "x", "/bin/sh", "-c", "echo $$; exec sleep 600"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let mut out = BufReader::new(guard.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("a line");
        let process = PathBuf::from(format!("/proc/{}", line.trim()));
        assert!(process.exists());
        drop(guard.stdin.take());
        let status = guard.wait().expect("ends");
        assert!(!status.success(), "killed: {status}");
        assert!(!process.exists());
    }

    #[test]
    fn guard_exits_as_its_program_does() {
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "x", "/bin/sh", "-c", "exit 7"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh starts");
        // Its standard input stays open.
        let stdin = guard.stdin.take();
        assert_eq!(guard.wait().expect("ends").code(), Some(7));
        drop(stdin);
    }

    #[test]
    fn log_is_handed_on_line_by_line_and_its_end_too() {
        let (sender, inputs) = channel();
        let tail = Tail::default();
        follow(3, &b"one\n\ttwo\r\nthree"[..], tail.clone(), sender);
        let mut lines: Vec<_> = inputs.iter().collect();
        assert!(matches!(lines.pop(), Some(Input::Ended { slot: 3 })));
        let text = |input: &Input| match input {
            Input::Line { slot: 3, text } => text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(lines.iter().map(text).collect::<Vec<_>>(), ["one", "\ttwo", "three"]);
        assert_eq!(tail.text(), "one | two | three");
    }
}
