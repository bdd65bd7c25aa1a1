//! What goes wrong between the runner and a board.

use thiserror::Error;

/// An error at the debug probe or with what it was given. Its message is one line for the user.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BoardError {
    /// The selector is neither a virtual board nor a probe.
    #[error(
        "\"{text}\" is no board: {why}; use virtual:same54-xpro, or VID:PID[:SERIAL] of a debug probe (hexadecimal)"
    )]
    Selector {
        /// As typed.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No such probe is plugged in.
    #[error("no debug probe {selector} found; check cable and udev rules, or use --board virtual:same54-xpro")]
    NoProbe {
        /// As typed.
        selector: String,
    },
    /// Several probes match.
    #[error("{count} debug probes match {selector}; add the serial number: VID:PID:SERIAL")]
    ManyProbes {
        /// As typed.
        selector: String,
        /// How many.
        count: usize,
    },
    /// The probe could not be opened or the chip did not answer.
    #[error("cannot attach to {board}: {source}; check supply, cable, and that no other program uses the probe")]
    Attach {
        /// The board's selector.
        board: String,
        /// probe-rs' reason.
        source: Box<probe_rs::Error>,
    },
    /// Flashing failed.
    #[error("flashing {range} failed: {why}")]
    Flash {
        /// Address range, or the file.
        range: String,
        /// The chain of reasons.
        why: String,
    },
    /// The debugger could not do what it was asked to.
    #[error("debug access failed while {doing}: {why}")]
    Debug {
        /// For example "resetting the core".
        doing: &'static str,
        /// The chain of reasons.
        why: String,
    },
    /// The flash controller did not do what it was asked to, outside of flashing.
    #[error("fuses: {0}; try again, and if it stays so compare the user page with a sound board's")]
    UserPage(String),
    /// The file is not a program for this board.
    #[error("not a program for this board: {0}")]
    Program(String),
}

impl BoardError {
    /// A failed debug operation.
    pub fn debug(doing: &'static str, error: &probe_rs::Error) -> Self {
        Self::Debug { doing, why: chain(error) }
    }
}

/// An error with its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        // Many wrappers repeat what they wrap.
        if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        next = source.source();
    }
    text.replace('\n', " ")
}
