//! The Range header.

/// What a Range header asks for (RFC 9110 section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// First byte, and the one after the last; never empty, always inside the file.
    Bytes(u64, u64),
    /// Nothing of it is inside the file.
    Unsatisfiable,
    /// Several ranges, which this server does not put together.
    Several,
}

impl Range {
    /// Reads a header for a file of `size` bytes; `None` for what a server has to ignore: other units, bad syntax.
    pub fn parse(text: &str, size: u64) -> Option<Self> {
        let set = text.split_once('=').filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"))?.1;
        let mut ranges = set.split(',').map(str::trim).filter(|range| !range.is_empty());
        let first = Self::one(ranges.next()?, size)?;
        match ranges.map(|range| Self::one(range, size)).reduce(|all, one| all.and(one)) {
            None => Some(first),
            Some(well_formed) => well_formed.map(|_| Self::Several),
        }
    }

    fn one(text: &str, size: u64) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            // Numbers beyond 64 bits are beyond every file.
            digits.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let (start, end) = match (first, last) {
            ("", suffix) => (size.saturating_sub(number(suffix)?), if number(suffix)? == 0 { 0 } else { size }),
            (first, "") => (number(first)?, size),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                (first, last.saturating_add(1).min(size))
            }
        };
        Some(if start >= end { Self::Unsatisfiable } else { Self::Bytes(start, end) })
    }
}
