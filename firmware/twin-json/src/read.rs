//! Walking through JSON text.

use core::ops::Range;

use crate::{MAX_DEPTH, Str};

/// A well-formed JSON value inside a longer text.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// The text of the value, without white space around it. Never empty.
    text: &'a str,
    /// Offset of `text` from the start of what was given to [`Value::parse`].
    at: usize,
}

/// What kind of value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl<'a> Value<'a> {
    /// Checks that `text` is one JSON value, possibly between white space.
    ///
    /// # Errors
    /// [`Error`] when it is not, or when it is nested deeper than [`MAX_DEPTH`].
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let bytes = text.as_bytes();
        let start = skip_space(bytes, 0);
        let end = skip_value(bytes, start)?;
        if skip_space(bytes, end) != bytes.len() {
            return Err(Error { at: end });
        }
        let text = text.get(start..end).ok_or(Error { at: start })?;
        Ok(Self { text, at: start })
    }

    /// The kind of this value.
    pub fn kind(&self) -> Kind {
        match self.text.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// The text of the value.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Where the value stands in the parsed text, in bytes.
    pub fn range(&self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<Str<'a>> {
        let raw = self.text.strip_prefix('"')?.strip_suffix('"')?;
        Some(Str::new(raw, self.at + 1))
    }

    /// The number, if it is an integer that fits; a fraction or an exponent is not an integer.
    pub fn as_i64(&self) -> Option<i64> {
        let (digits, sign) = match self.text.strip_prefix('-') {
            Some(digits) => (digits, -1),
            None => (self.text, 1),
        };
        integer(digits, sign)
    }

    /// The number, also when it is written as a string of digits.
    pub fn as_lenient_u32(&self) -> Option<u32> {
        let digits = self.as_str().map_or(self.text, |string| string.raw());
        u32::try_from(integer(digits, 1)?).ok()
    }

    /// The member called `key`, if it is an object that has one. Of several, the last counts.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.members().filter(|(name, _)| name.is(key)).map(|(_, value)| value).last()
    }

    /// The string member called `key`, if it is an object that has one.
    pub fn string(&self, key: &str) -> Option<Str<'a>> {
        self.get(key)?.as_str()
    }

    /// The member found by following `path` through nested objects.
    pub fn at(&self, path: &[&str]) -> Option<Value<'a>> {
        path.iter().try_fold(*self, |value, key| value.get(key))
    }

    /// The members, in the order of the text; none if it is not an object.
    pub fn members(&self) -> Members<'a> {
        Members(self.inside('{'))
    }

    /// The items; none if it is not an array.
    pub fn items(&self) -> Items<'a> {
        Items(self.inside('['))
    }

    fn inside(&self, open: char) -> Walk<'a> {
        let next = if self.text.starts_with(open) { 1 } else { self.text.len() };
        Walk { whole: *self, next }
    }
}

/// Iterates over the members of an object.
#[derive(Clone, Debug)]
pub struct Members<'a>(Walk<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Str<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.value()?.as_str()?;
        Some((key, self.0.value()?))
    }
}

/// Iterates over the items of an array.
#[derive(Clone, Debug)]
pub struct Items<'a>(Walk<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.value()
    }
}

/// Walks over what stands between brackets. The text has been checked, so commas and colons need no second look.
#[derive(Clone, Debug)]
struct Walk<'a> {
    whole: Value<'a>,
    next: usize,
}

impl<'a> Walk<'a> {
    fn value(&mut self) -> Option<Value<'a>> {
        let bytes = self.whole.text.as_bytes();
        let mut start = self.next;
        while matches!(bytes.get(start), Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')) {
            start += 1;
        }
        // At the closing bracket or beyond the end there is no value.
        let end = skip_value(bytes, start).ok()?;
        self.next = end;
        Some(Value { text: self.whole.text.get(start..end)?, at: self.whole.at + start })
    }
}

/// The text is not JSON, or is nested too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Byte offset at which reading stopped.
    pub at: usize,
}

fn integer(digits: &str, sign: i64) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    digits.bytes().try_fold(0_i64, |value, byte| {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(sign * digit)
    })
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Checks the value that starts at `at` and returns where it ends.
///
/// Not recursive: the kinds of the open brackets are the bits of a word, so the stack does not grow with the input.
fn skip_value(bytes: &[u8], mut at: usize) -> Result<usize, Error> {
    let mut objects = 0_u32;
    let mut depth = 0;
    loop {
        // A value starts at `at`.
        at = match bytes.get(at) {
            Some(&open @ (b'{' | b'[')) => {
                if depth == MAX_DEPTH {
                    return Err(Error { at });
                }
                depth += 1;
                let is_object = open == b'{';
                objects = objects << 1 | u32::from(is_object);
                at = skip_space(bytes, at + 1);
                // The closing bracket is two characters after the opening one in ASCII.
                if bytes.get(at) != Some(&(open + 2)) {
                    if is_object {
                        at = skip_key(bytes, at)?;
                    }
                    continue;
                }
                at += 1;
                depth -= 1;
                objects >>= 1;
                at
            }
            Some(b'"') => skip_string(bytes, at)?,
            Some(b't') => skip_word(bytes, at, b"true")?,
            Some(b'f') => skip_word(bytes, at, b"false")?,
            Some(b'n') => skip_word(bytes, at, b"null")?,
            _ => skip_number(bytes, at)?,
        };
        // A value ended at `at`: close what ends here, or go on to the next value.
        loop {
            if depth == 0 {
                return Ok(at);
            }
            at = skip_space(bytes, at);
            let is_object = objects & 1 == 1;
            match bytes.get(at) {
                Some(b',') => {
                    at = skip_space(bytes, at + 1);
                    if is_object {
                        at = skip_key(bytes, at)?;
                    }
                    break;
                }
                Some(b'}') if is_object => {}
                Some(b']') if !is_object => {}
                _ => return Err(Error { at }),
            }
            at += 1;
            depth -= 1;
            objects >>= 1;
        }
    }
}

/// Skips a key, its colon and the white space up to the value.
fn skip_key(bytes: &[u8], at: usize) -> Result<usize, Error> {
    let at = skip_space(bytes, skip_string(bytes, at)?);
    if bytes.get(at) != Some(&b':') {
        return Err(Error { at });
    }
    Ok(skip_space(bytes, at + 1))
}

fn skip_word(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, Error> {
    if bytes[at..].starts_with(word) { Ok(at + word.len()) } else { Err(Error { at }) }
}

fn skip_string(bytes: &[u8], start: usize) -> Result<usize, Error> {
    let mut at = start;
    if bytes.get(at) != Some(&b'"') {
        return Err(Error { at });
    }
    loop {
        at += 1;
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => {
                at += 1;
                match bytes.get(at) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                    Some(b'u') => {
                        let hex = bytes.get(at + 1..at + 5).ok_or(Error { at })?;
                        if !hex.iter().all(u8::is_ascii_hexdigit) {
                            return Err(Error { at });
                        }
                        at += 4;
                    }
                    _ => return Err(Error { at }),
                }
            }
            Some(0x20..) => {}
            // A bare control character, or the end of the text.
            _ => return Err(Error { at }),
        }
    }
}

fn skip_number(bytes: &[u8], start: usize) -> Result<usize, Error> {
    let digits = |from: usize| {
        let mut at = from;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if at == from { Err(Error { at }) } else { Ok(at) }
    };
    let mut at = start;
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => digits(at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(at)?;
    }
    Ok(at)
}
