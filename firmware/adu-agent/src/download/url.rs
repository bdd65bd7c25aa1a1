//! The URL of a file.

/// `http://host[:port]/path[?query]`: the only form that the service uses for microcontrollers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url<'a> {
    /// Host and port as they stand in the URL: the `Host` of requests.
    pub authority: &'a str,
    /// Host name or address.
    pub host: &'a str,
    /// TCP port; 80 if the URL names none.
    pub port: u16,
    /// Path and query; starts with a slash.
    pub path: &'a str,
}

impl<'a> Url<'a> {
    /// Takes a URL apart. None for other schemes, user names, and characters that a request line cannot hold.
    pub fn parse(url: &'a str) -> Option<Self> {
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) || url.contains('#') {
            return None;
        }
        let (scheme, rest) = url.split_at_checked("http://".len())?;
        if !scheme.eq_ignore_ascii_case("http://") {
            return None;
        }
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if !path.starts_with('/') {
            return None;
        }
        let (host, port) = Self::host_port(authority)?;
        Some(Self { authority, host, port, path })
    }

    /// Takes `host[:port]` apart, as in a URL or for a download gateway.
    pub fn host_port(authority: &str) -> Option<(&str, u16)> {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (authority, 80),
        };
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let is_sound = (1..=253).contains(&host.len()) && host.bytes().all(usual);
        is_sound.then_some((host, port))
    }
}
