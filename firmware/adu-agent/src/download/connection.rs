//! Requests and responses on one TCP connection.

use super::Url;

/// Length of a buffer that every request fits in: the longest URL twice, and the fixed text.
pub const REQUEST_LEN: usize = crate::URL_LEN + 256 + 160;
/// Header lines longer than this are cut: those that matter are short.
const LINE_LEN: usize = 96;

/// Why a response is not used. The connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not HTTP/1.x, or a header that makes no sense.
    Malformed,
    /// A status other than 200 and 206.
    Status(u16),
    /// The range, or the length of the whole, is not what was asked for.
    Range,
    /// The body has no length of its own (chunked), so it could not be bounded.
    NoLength,
    /// The request does not fit the buffer, or its range is empty or beyond the file.
    Request,
    /// A response was expected to be complete before.
    Order,
}

impl Error {
    /// Whether the same request would be answered in the same way again.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Status(408 | 429) => false,
            Self::Status(300..=499) | Self::Range | Self::NoLength | Self::Request => true,
            Self::Status(_) | Self::Malformed | Self::Order => false,
        }
    }
}

/// What [`Connection::receive`] made of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Bytes of the input that were used; the rest belongs to what follows.
    pub consumed: usize,
    /// Offset in the file of `data`.
    pub offset: u32,
    /// Bytes of the file; may be empty.
    pub data: &'a [u8],
    /// The range is complete. Make the next request.
    pub is_done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No response is expected.
    Idle,
    StatusLine,
    Headers,
    Body,
    /// An error, or the server's wish to close: nothing more can be asked.
    Closed,
}

/// HTTP on one TCP connection, one request at a time.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Length of the whole file.
    size: u32,
    stage: Stage,
    /// The range that is wanted: from `next`, this many bytes.
    next: u32,
    wanted: u32,
    /// Where the body of the response stands in the file, and how much of it is still to come.
    body_at: u32,
    body_left: u32,
    status: u16,
    content_length: Option<u32>,
    has_range: bool,
    closes: bool,
    line: [u8; LINE_LEN],
    line_len: usize,
}

impl Connection {
    /// A new TCP connection, for a file of `size` bytes (from the manifest).
    pub fn new(size: u32) -> Self {
        Self {
            size,
            stage: Stage::Idle,
            next: 0,
            wanted: 0,
            body_at: 0,
            body_left: 0,
            status: 0,
            content_length: None,
            has_range: false,
            closes: false,
            line: [0; LINE_LEN],
            line_len: 0,
        }
    }

    /// Asks for `len` bytes from `offset`: writes the request to `out` and returns its length.
    ///
    /// The length is zero if nothing has to be sent, because a server that ignores ranges is sending the whole file
    /// and has just come to `offset`. `Host` is the URL's authority also when the connection goes to a gateway.
    ///
    /// # Errors
    /// [`Error::Request`], or [`Error::Order`] if this connection cannot be used for the request: open another one.
    pub fn request(&mut self, url: &Url<'_>, offset: u32, len: u32, out: &mut [u8]) -> Result<usize, Error> {
        let end = offset.checked_add(len).ok_or(Error::Request)?;
        if len == 0 || end > self.size {
            return Err(Error::Request);
        }
        match self.stage {
            Stage::Body if self.wanted == 0 && self.body_at == offset => {
                self.next = offset;
                self.wanted = len;
                return Ok(0);
            }
            Stage::Idle => {}
            _ => return Err(Error::Order),
        }
        let mut text = Text { out, len: 0 };
        for part in ["GET ", url.path, " HTTP/1.1\r\nHost: ", url.authority, "\r\nRange: bytes="] {
            text.push(part.as_bytes());
        }
        text.decimal(offset);
        text.push(b"-");
        text.decimal(end - 1);
        text.push(b"\r\nAccept-Encoding: identity\r\n\r\n");
        if text.len > text.out.len() {
            return Err(Error::Request);
        }
        self.next = offset;
        self.wanted = len;
        self.stage = Stage::StatusLine;
        self.line_len = 0;
        Ok(text.len)
    }

    /// Takes bytes that arrived. Call it again with what was not consumed, until the range is done.
    ///
    /// # Errors
    /// See [`Error`]; the connection cannot be used any more.
    pub fn receive<'a>(&mut self, input: &'a [u8]) -> Result<Chunk<'a>, Error> {
        let mut consumed = 0;
        while matches!(self.stage, Stage::StatusLine | Stage::Headers) {
            let Some(&byte) = input.get(consumed) else {
                return Ok(self.nothing(consumed));
            };
            consumed += 1;
            if byte == b'\n' {
                if let Err(error) = self.end_of_line() {
                    self.stage = Stage::Closed;
                    return Err(error);
                }
                self.line_len = 0;
            } else if let Some(place) = self.line.get_mut(self.line_len) {
                *place = byte;
                self.line_len += 1;
            }
        }
        if self.stage != Stage::Body || self.wanted == 0 {
            if consumed < input.len() && self.stage != Stage::Body {
                self.stage = Stage::Closed;
                return Err(Error::Order);
            }
            return Ok(self.nothing(consumed));
        }

        let mut rest = &input[consumed..];
        // A server that ignores ranges begins at the start of the file.
        let skip = (self.next - self.body_at).min(len_u32(rest));
        rest = &rest[skip as usize..];
        let take = self.wanted.min(self.body_left - skip).min(len_u32(rest));
        let take = if self.body_at + skip == self.next { take } else { 0 };
        let data = &rest[..take as usize];
        consumed += (skip + take) as usize;
        self.body_at += skip + take;
        self.body_left -= skip + take;
        let offset = self.next;
        self.next += take;
        self.wanted -= take;
        let is_done = self.wanted == 0;
        if self.body_left == 0 {
            self.stage = if self.closes { Stage::Closed } else { Stage::Idle };
        }
        Ok(Chunk { consumed, offset, data, is_done })
    }

    /// Whether another request can be made on this connection.
    pub fn is_reusable(&self) -> bool {
        matches!(self.stage, Stage::Idle | Stage::Body)
    }

    fn nothing<'a>(&self, consumed: usize) -> Chunk<'a> {
        Chunk { consumed, offset: self.next, data: &[], is_done: false }
    }

    fn end_of_line(&mut self) -> Result<(), Error> {
        let line = self.line;
        let line = &line[..self.line_len];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = core::str::from_utf8(line).unwrap_or_default();
        match self.stage {
            Stage::StatusLine => {
                let (version, rest) = line.split_once(' ').ok_or(Error::Malformed)?;
                let minor = version.strip_prefix("HTTP/1.").ok_or(Error::Malformed)?;
                let status = rest.get(..3).and_then(|status| status.parse().ok());
                self.status = status.ok_or(Error::Malformed)?;
                self.closes = minor == "0";
                self.content_length = None;
                self.has_range = false;
                self.stage = Stage::Headers;
                Ok(())
            }
            _ if line.is_empty() => self.end_of_headers(),
            _ => self.header(line),
        }
    }

    fn header(&mut self, line: &str) -> Result<(), Error> {
        // A line without a colon, such as one that was cut or is no UTF-8, is none that matters.
        let Some((name, value)) = line.split_once(':') else {
            return Ok(());
        };
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("content-length") {
            let len = value.parse().map_err(|_| Error::Malformed)?;
            if self.content_length.is_some_and(|earlier| earlier != len) {
                return Err(Error::Malformed);
            }
            self.content_length = Some(len);
        } else if name.eq_ignore_ascii_case("content-range") {
            self.has_range = true;
            let (first, last, total) = parse_range(value).ok_or(Error::Malformed)?;
            let is_total = total.is_none_or(|total| total == self.size);
            if self.status == 206 && !(is_total && first == self.next && last == self.next + self.wanted - 1) {
                return Err(Error::Range);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("identity") {
                return Err(Error::NoLength);
            }
        } else if name.eq_ignore_ascii_case("content-encoding") {
            if !value.eq_ignore_ascii_case("identity") {
                return Err(Error::Malformed);
            }
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            self.closes = true;
        }
        Ok(())
    }

    fn end_of_headers(&mut self) -> Result<(), Error> {
        match self.status {
            100..=199 => {
                self.stage = Stage::StatusLine;
                return Ok(());
            }
            206 => {
                if !self.has_range {
                    return Err(Error::Range);
                }
                let len = self.content_length.ok_or(Error::NoLength)?;
                if len != self.wanted {
                    return Err(Error::Range);
                }
                self.body_at = self.next;
                self.body_left = len;
            }
            200 => {
                let len = self.content_length.ok_or(Error::NoLength)?;
                if len != self.size {
                    return Err(Error::Range);
                }
                self.body_at = 0;
                self.body_left = len;
            }
            status => return Err(Error::Status(status)),
        }
        self.stage = Stage::Body;
        Ok(())
    }
}

/// `bytes first-last/total`, where the total may be `*`.
fn parse_range(value: &str) -> Option<(u32, u32, Option<u32>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((first.parse().ok()?, last.parse().ok()?, total))
}

fn len_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Appends to a buffer; `len` goes beyond it when something did not fit.
struct Text<'b> {
    out: &'b mut [u8],
    len: usize,
}

impl Text<'_> {
    fn push(&mut self, bytes: &[u8]) {
        if let Some(place) = self.out.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.len += bytes.len();
    }

    fn decimal(&mut self, mut value: u32) {
        let mut digits = [0; 10];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8; // a digit
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }
}
