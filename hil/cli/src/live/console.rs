//! What a person sees: one line for each thing that happens, with virtual time and source.

use std::io::{IsTerminal as _, Write as _};

use same54_sim::{Event, EventKind};
use sim_base::Instant;

use crate::board::LogLine;
use crate::elf::Image;
use crate::rig::reset_cause;

/// Longest line that is kept back until its end comes.
const MAX_LINE: usize = 1000;

/// A remark of the runner itself, beside the program's output.
pub(super) fn note(text: &str) {
    eprintln!("{text}");
}

/// Counts and prints.
pub(super) struct Console {
    colour: bool,
    uart: Vec<u8>,
    semihosting: String,
    led: bool,
    pub counts: Counts,
}

/// What the summary tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub resets: u64,
    pub violations: u64,
    pub unmodelled: u64,
    pub frames_sent: u64,
    pub frames_received: u64,
    pub nvm_operations: u64,
    pub nor_operations: u64,
}

impl Console {
    pub fn new() -> Self {
        Self {
            colour: std::io::stdout().is_terminal(),
            uart: Vec::new(),
            semihosting: String::new(),
            led: false,
            counts: Counts::default(),
        }
    }

    /// Prints a line. Standard output may be gone (a pipe to `head`): the board runs on.
    fn line(&self, at: Instant, source: &str, text: &str) {
        let mut out = std::io::stdout().lock();
        let seconds = at.as_nanos() as f64 / 1e9;
        let _ = match (self.colour, colour(source, text)) {
            (true, Some(colour)) => writeln!(out, "{seconds:12.6} \x1b[{colour}m{source:<8}\x1b[0m {text}"),
            _ => writeln!(out, "{seconds:12.6} {source:<8} {text}"),
        };
    }

    pub fn log(&self, at: Instant, program: Option<&str>, line: &LogLine) {
        let program = program.map(|name| format!("{name}: ")).unwrap_or_default();
        self.line(at, "log", &format!("{program}{line}"));
    }

    /// Something that happened on the board. `programs` give names to addresses.
    pub fn event(&mut self, event: &Event, programs: &[&Image]) {
        let place = |pc: u32| describe(programs, pc);
        let counts = &mut self.counts;
        let (source, text) = match &event.kind {
            EventKind::PowerOn => ("power", "on".to_owned()),
            EventKind::PowerOff { torn: None } => ("power", "off".to_owned()),
            EventKind::PowerOff { torn: Some(what) } => ("power", format!("off; torn: {what}")),
            EventKind::Reset(cause) => {
                counts.resets += 1;
                ("reset", reset_cause(*cause).to_owned())
            }
            EventKind::Unmodelled { what, write, pc } => {
                counts.unmodelled += 1;
                let verb = if *write { "write to" } else { "read of" };
                ("board", format!("not modelled: {verb} {what} at {}", place(*pc)))
            }
            EventKind::UndefinedInstruction { pc, encoding } => {
                ("board", format!("undefined instruction 0x{encoding:08x} at {}", place(*pc)))
            }
            EventKind::Lockup { pc } => ("board", format!("the core locked up at {}", place(*pc))),
            EventKind::Violation(what) => {
                counts.violations += 1;
                ("board", format!("violation: {what}"))
            }
            EventKind::Frame { sent, .. } => {
                *if *sent { &mut counts.frames_sent } else { &mut counts.frames_received } += 1;
                return;
            }
            EventKind::NvmProgram { .. } | EventKind::NvmErase { .. } => {
                counts.nvm_operations += 1;
                return;
            }
            EventKind::NorProgram { .. } | EventKind::NorErase { .. } => {
                counts.nor_operations += 1;
                return;
            }
            _ => return,
        };
        self.line(event.at, source, &text);
    }

    pub fn led(&mut self, at: Instant, lit: bool) {
        if lit != self.led {
            self.led = lit;
            self.line(at, "led", if lit { "on" } else { "off" });
        }
    }

    pub fn button(&self, at: Instant, pressed: bool) {
        self.line(at, "button", if pressed { "pressed" } else { "released" });
    }

    pub fn remark(&self, at: Instant, text: &str) {
        self.line(at, "board", text);
    }

    /// Characters from the virtual COM port, printed line by line.
    pub fn uart(&mut self, at: Instant, bytes: &[u8]) {
        self.uart.extend_from_slice(bytes);
        while let Some(end) = self.uart.iter().position(|byte| *byte == b'\n').or_else(|| {
            // A program that never ends its line is shown all the same.
            (self.uart.len() >= MAX_LINE).then(|| self.uart.len() - 1)
        }) {
            let line: Vec<u8> = self.uart.drain(..=end).collect();
            self.line(at, "uart", String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
        }
    }

    /// Text by semihosting, printed line by line.
    pub fn semihosting(&mut self, at: Instant, text: &str) {
        self.semihosting.push_str(text);
        while let Some(end) = self.semihosting.find('\n') {
            let line: String = self.semihosting.drain(..=end).collect();
            self.line(at, "console", line.trim_end());
        }
    }

    /// Prints what has not seen its line's end.
    pub fn finish(&mut self, at: Instant) {
        let uart = std::mem::take(&mut self.uart);
        if !uart.is_empty() {
            self.line(at, "uart", String::from_utf8_lossy(&uart).trim_end());
        }
        let text = std::mem::take(&mut self.semihosting);
        if !text.is_empty() {
            self.line(at, "console", text.trim_end());
        }
    }
}

/// `0x00001234 (module::function+0x10)`, as far as a program knows it.
pub(super) fn describe(programs: &[&Image], pc: u32) -> String {
    match programs.iter().find_map(|image| image.function(pc)) {
        Some(function) => format!("0x{pc:08x} ({}+0x{:x})", function.name, pc - function.range.start),
        None => format!("0x{pc:08x}"),
    }
}

fn colour(source: &str, text: &str) -> Option<&'static str> {
    match source {
        "log" if text.contains("error ") => Some("31"),
        "log" if text.contains("warn ") => Some("33"),
        "log" => Some("32"),
        "board" => Some("33"),
        "led" | "button" => Some("35"),
        "reset" | "power" => Some("36"),
        _ => None,
    }
}
