//! What tests of `hil board` share: small programs for the chip, and the runner as a process.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Wall-clock time after which a test that waits for something has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Compiles `tests/programs/NAME.rs` and returns the ELF.
pub fn program(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
    std::fs::create_dir_all(&out).unwrap();
    // One test after the other may be compiling: each writes a file of its own and puts it in place at once.
    let elf = out.join(format!("{name}.elf"));
    let own = out.join(format!("{name}-{}-{:?}.elf", std::process::id(), std::thread::current().id()));
    let status = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .current_dir(hil::artifacts::root())
        .args(["--edition", "2024", "--target", hil::artifacts::TARGET, "-g", "-C", "opt-level=0"])
        .args(["-C", "debug-assertions=off", "-C", "panic=abort", "--crate-type", "bin"])
        .arg("-C")
        .arg(format!("link-arg=-T{}", source.join("layout.x").display()))
        .arg("-o")
        .arg(&own)
        .arg(Path::new("hil/cli/tests/programs").join(format!("{name}.rs")))
        .status()
        .expect("rustc starts");
    assert!(status.success(), "{name}.rs does not compile");
    std::fs::rename(own, &elf).unwrap();
    elf
}

/// A folder for one test's files.
pub fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Runs `hil board` to its end.
pub fn board<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hil")).arg("board").args(args).stdin(Stdio::null()).output().expect("hil starts")
}

/// Standard output and standard error of a run that ended with `code`.
pub fn texts(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    (out, err)
}

/// A board that runs until the test is over.
pub struct LiveBoard {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
    /// Dropped with the rest: the test has come to its end.
    _over: Sender<()>,
}

impl LiveBoard {
    pub fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hil"))
            .arg("board")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("hil starts");
        let out = lines(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        let (pid, (_over, over)) = (child.id().to_string(), channel::<()>());
        std::thread::spawn(move || {
            // A test that waits for the board in vain gets to know.
            if over.recv_timeout(2 * PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").arg(pid).status();
            }
        });
        Self { child, out, err, _over }
    }

    /// The rest of the next line on standard error that begins with `prefix`.
    pub fn announced(&self, prefix: &str) -> String {
        wait(&self.err, |line| line.strip_prefix(prefix).map(|rest| rest.trim().to_owned()), prefix)
    }

    /// The next line on standard output that contains `text`.
    pub fn says(&self, text: &str) -> String {
        wait(&self.out, |line| line.contains(text).then(|| line.to_owned()), text)
    }

    /// Sends Ctrl-C and returns exit code and the rest of standard error.
    pub fn interrupt(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        (code, self.err.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for LiveBoard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn wait<T>(lines: &Receiver<String>, mut find: impl FnMut(&str) -> Option<T>, what: &str) -> T {
    let (start, mut seen) = (Instant::now(), Vec::new());
    loop {
        match lines.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
            Ok(line) => match find(&line) {
                Some(found) => return found,
                None => seen.push(line),
            },
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                panic!("no \"{what}\" in:\n{}", seen.join("\n"))
            }
        }
    }
}

/// Whether the program `name` is there. Where CI=true it has to be.
pub fn has_tool(name: &str) -> bool {
    let found = Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(found || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{name} is missing");
    if !found {
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// The Python of `target/python`, if it has `module`. Where CI=true it has to.
pub fn python(module: &str) -> Option<PathBuf> {
    let venv = hil::artifacts::target_dir(&hil::artifacts::root()).join("python");
    let python = venv.join("bin/python");
    let found =
        Command::new(&python).args(["-c", &format!("import {module}")]).output().is_ok_and(|out| out.status.success());
    let advice = format!("{module} is not in {}; see fixtures/python/README.md", venv.display());
    assert!(found || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{advice}");
    if !found {
        eprintln!("skipped: {advice}");
    }
    found.then_some(python)
}

/// Reads from `stream` until it has given `text`.
pub fn read_until(stream: &mut impl std::io::Read, text: &str) {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !String::from_utf8_lossy(&seen).contains(text) {
        assert_eq!(stream.read(&mut byte).expect("readable"), 1, "{:?}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
}
