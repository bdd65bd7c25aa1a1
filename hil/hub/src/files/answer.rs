//! What a request is answered with.

use super::connection::Body;
use super::range::Range;
use super::{Clock, File, FileFault, Service};

/// An answer: head, and perhaps a body.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Name of the file; the target if there is none.
    pub(super) file: String,
    fields: Vec<(&'static str, String)>,
    content_length: u64,
    pub(super) body: Option<Body>,
    /// A sentence for a person, sent as the body.
    text: Option<String>,
    pub(super) close: bool,
    pub(super) drop_after: Option<u64>,
}

impl Answer {
    /// A refusal with its reason.
    pub(super) fn error(status: u16, file: &str, why: &str) -> Self {
        let text = format!("{why}\n");
        Self {
            status,
            file: file.to_owned(),
            fields: vec![("Content-Type", "text/plain; charset=utf-8".into())],
            content_length: text.len() as u64,
            body: None,
            text: Some(text),
            // A head that was not understood leaves the position of the next request unknown.
            close: matches!(status, 400 | 413 | 431 | 505),
            drop_after: None,
        }
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.fields.push((name, value));
        self
    }

    pub(super) fn to(request: &httparse::Request<'_, '_>, service: &mut Service, clock: &Clock) -> Self {
        let target = request.path.unwrap_or_default();
        let field = |name: &str| {
            request
                .headers
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case(name))
                .and_then(|field| core::str::from_utf8(field.value).ok())
                .map(str::trim)
        };
        // Host is required in HTTP/1.1 (RFC 9112 section 3.2); a gateway forwards the one of the original server.
        if request.version == Some(1) && field("host").is_none_or(str::is_empty) {
            return Self::error(400, target, "a request of HTTP/1.1 needs a Host field");
        }
        if field("transfer-encoding").is_some() || field("content-length").is_some_and(|len| len != "0") {
            return Self::error(413, target, "a request has no body here");
        }
        let option = |wanted| {
            field("connection").is_some_and(|list| list.split(',').any(|o| o.trim().eq_ignore_ascii_case(wanted)))
        };
        let close = option("close") || (request.version == Some(0) && !option("keep-alive"));
        let method = request.method.unwrap_or_default();
        let mut answer = match method {
            "GET" | "HEAD" => Self::for_file(method == "GET", target, &field, service, clock),
            _ => Self::error(405, target, "only GET and HEAD are served").with("Allow", "GET, HEAD".into()),
        };
        if method == "HEAD" {
            answer.text = None;
        }
        answer.close |= close;
        answer
    }

    fn for_file<'a>(
        get: bool,
        target: &str,
        field: &impl Fn(&str) -> Option<&'a str>,
        service: &mut Service,
        clock: &Clock,
    ) -> Self {
        // Both the origin form and the absolute form that proxies get (RFC 9112 section 3.2).
        let path = target.strip_prefix("http://").map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let Some(file) = service.files.get(path).cloned() else {
            return Self::error(404, target, "no update has a file at this path");
        };
        if file.protected
            && let Err(why) = service.admits(path, query, clock)
        {
            return Self::error(403, &file.name, &why);
        }
        let (size, etag) = (file.body.len() as u64, file.etag());
        let lists = |list: &str| list == "*" || list.split(',').any(|one| one.trim() == etag);
        if field("if-match").is_some_and(|list| !lists(list)) {
            return Self::error(412, &file.name, "the file has another entity tag");
        }
        // A weak comparison, so `W/` does not matter (RFC 9110 section 13.1.2).
        if field("if-none-match").is_some_and(|list| lists(&list.replace("W/", ""))) {
            return Self { fields: vec![("ETag", etag)], ..Self::empty(304, &file.name) };
        }
        // A strong comparison; this server gives no dates, so a date never fits (section 13.1.5).
        let current = field("if-range").is_none_or(|tag| tag == etag);
        let asked = field("range").filter(|_| current && get).and_then(|text| Range::parse(text, size));
        let extent = |range| match range {
            None => (0, size),
            Some(Range::Bytes(start, end)) => (start, end),
            Some(Range::Unsatisfiable | Range::Several) => (size, size),
        };
        let blind = [&file.id, &file.name].into_iter().find_map(|key| service.faults.get(key));
        let seen = asked.filter(|_| !blind.is_some_and(|fault| fault.ignore_range));
        let fault = {
            let (start, end) = extent(seen);
            service.strike(&file, start, end)
        };
        // A fault that is not due yet, or has passed, ignores nothing.
        let range = if fault.as_ref().is_some_and(|fault| fault.ignore_range) { seen } else { asked };
        Self::serve(get, &file, range, extent(range), fault.unwrap_or_default(), clock)
    }

    fn serve(
        get: bool,
        file: &File,
        range: Option<Range>,
        (start, end): (u64, u64),
        fault: FileFault,
        clock: &Clock,
    ) -> Self {
        let size = file.body.len() as u64;
        let mut answer = if let Some(status) = fault.status {
            Self::error(status, &file.name, "this fault was asked for")
        } else if let Some(location) = &fault.redirect {
            Self::error(302, &file.name, "this redirection was asked for").with("Location", location.clone())
        } else if let Some(why) = match range {
            Some(Range::Unsatisfiable) => Some(format!("the range lies outside the {size} bytes of the file")),
            Some(Range::Several) => Some("several ranges in one request are not served; ask for one at a time".into()),
            _ => None,
        } {
            Self::error(416, &file.name, &why).with("Content-Range", format!("bytes */{size}"))
        } else {
            let partial = range.is_some();
            let body = get.then(|| Body::new(file.body.clone(), start, end, &fault, clock.now));
            let mut answer = Self::empty(if partial { 206 } else { 200 }, &file.name)
                .with("Content-Type", "application/octet-stream".into())
                .with("Accept-Ranges", "bytes".into())
                .with("ETag", file.etag());
            if partial {
                answer = answer.with("Content-Range", format!("bytes {start}-{}/{size}", end - 1));
            }
            answer.body = body;
            answer.content_length = end - start + u64::from(fault.extra_bytes.unwrap_or(0));
            answer
        };
        if let Some(lie) = fault.content_range {
            answer.fields.retain(|(name, _)| *name != "Content-Range");
            answer.fields.push(("Content-Range", lie));
        }
        if let Some(lie) = fault.content_length {
            answer.content_length = lie;
        }
        answer.drop_after = fault.drop_after;
        answer
    }

    fn empty(status: u16, file: &str) -> Self {
        Self {
            status,
            file: file.to_owned(),
            fields: Vec::new(),
            content_length: 0,
            body: None,
            text: None,
            close: false,
            drop_after: None,
        }
    }

    pub(super) fn head(&self, date: &str) -> String {
        let reason = match self.status {
            200 => "OK",
            206 => "Partial Content",
            302 => "Found",
            304 => "Not Modified",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            416 => "Range Not Satisfiable",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            503 => "Service Unavailable",
            _ => "Unspecified",
        };
        let connection = if self.close { "close" } else { "keep-alive" };
        let mut head = format!("HTTP/1.1 {} {reason}\r\nDate: {date}\r\n", self.status);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // 304 has no content, and a length of 0 would be taken for the file's (RFC 9110 section 8.6).
        if self.status != 304 {
            head.push_str(&format!("Content-Length: {}\r\n", self.content_length));
        }
        head.push_str(&format!("Connection: {connection}\r\n\r\n"));
        head.push_str(self.text.as_deref().unwrap_or_default());
        head
    }
}
