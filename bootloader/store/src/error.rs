//! What can go wrong with the store.

use core::fmt;

/// Why a call on the store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The flash did not answer, answered with an error, or does not keep what is programmed.
    Flash,
    /// There is no sound littlefs volume, this part of it is damaged, or it needs a repair that is not done here.
    Corrupt,
    /// No file of that name.
    NotFound,
    /// No room left, in the volume or in the directory.
    NoSpace,
    /// Something else is there (a directory), or not a name for a file.
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
