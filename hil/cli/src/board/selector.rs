//! How a user names a board.

use std::fmt;
use std::str::FromStr;

use probe_rs::probe::DebugProbeSelector;

use super::BoardError;

/// A kind of virtual board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Model {
    /// SAM E54 Xplained Pro.
    Same54Xpro,
}

/// Which board: `virtual:same54-xpro`, or `VID:PID[:SERIAL]` of a debug probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardSelector {
    /// A simulated board in this process.
    Virtual(Model),
    /// A board at a debug probe that probe-rs knows.
    Probe(DebugProbeSelector),
}

impl FromStr for BoardSelector {
    type Err = BoardError;

    fn from_str(text: &str) -> Result<Self, BoardError> {
        let error = |why| BoardError::Selector { text: text.to_owned(), why };
        match text.split_once(':') {
            Some(("virtual", "same54-xpro")) => Ok(Self::Virtual(Model::Same54Xpro)),
            Some(("virtual", _)) => Err(error("there is no such virtual board")),
            Some(_) => text.parse().map(Self::Probe).map_err(|_| error("VID and PID are four hexadecimal digits each")),
            None if text == "virtual" => Err(error("the model is missing")),
            None => Err(error("the PID is missing")),
        }
    }
}

impl fmt::Display for BoardSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Virtual(Model::Same54Xpro) => f.write_str("virtual:same54-xpro"),
            Self::Probe(selector) => selector.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_and_real_boards_are_told_apart_and_print_as_typed() {
        for text in ["virtual:same54-xpro", "03eb:2111", "03eb:2111:ATML2748051800001234"] {
            let selector: BoardSelector = text.parse().unwrap();
            assert_eq!(selector.to_string(), text);
            assert_eq!(matches!(selector, BoardSelector::Virtual(_)), text.starts_with("virtual"));
        }
    }

    #[test]
    fn a_bad_selector_is_one_line_that_says_what_to_type() {
        for text in ["", "virtual", "virtual:", "virtual:uno", "nucleo", "03eb", "xyz:2111", "03eb:", "123456:1"] {
            let message = text.parse::<BoardSelector>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("\"{text}\"")), "{message}");
            assert!(message.contains("virtual:same54-xpro") && !message.contains('\n'), "{message}");
        }
    }
}
