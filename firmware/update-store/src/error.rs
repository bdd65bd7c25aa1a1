//! What can go wrong with the store.

use core::fmt;

/// Why a call on the store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The flash did not answer, or answered with an error.
    Flash,
    /// There is no sound littlefs volume, or this part of it is damaged.
    Corrupt,
    /// No file of that name.
    NotFound,
    /// No room left.
    NoSpace,
    /// No heap left.
    NoMemory,
    /// Something else is there (a directory), or the call does not make sense; a bug of the caller or a foreign
    /// volume.
    Invalid,
    /// A read past the end of the file.
    OutOfBounds,
}

impl StoreError {
    /// The error in a few words, for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flash => "flash failed",
            Self::Corrupt => "volume damaged or absent",
            Self::NotFound => "no such file",
            Self::NoSpace => "no space left",
            Self::NoMemory => "no memory left",
            Self::Invalid => "not a plain file, or an invalid call",
            Self::OutOfBounds => "read past the end of the file",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for StoreError {}

impl From<littlefs_rust::Error> for StoreError {
    fn from(error: littlefs_rust::Error) -> Self {
        use littlefs_rust::Error;
        match error {
            Error::Io => Self::Flash,
            Error::Corrupt => Self::Corrupt,
            Error::NoEntry => Self::NotFound,
            Error::NoSpace => Self::NoSpace,
            Error::NoMemory => Self::NoMemory,
            Error::Exists
            | Error::NotDir
            | Error::IsDir
            | Error::NotEmpty
            | Error::Invalid
            | Error::NoAttribute
            | Error::NameTooLong => Self::Invalid,
        }
    }
}
