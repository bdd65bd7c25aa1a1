//! Topics of the messages that services send.

/// Splits `{status}/?{query}` as it ends response topics.
pub(crate) fn status_and_query(tail: &str) -> Option<(u16, &str)> {
    let (status, rest) = tail.split_once('/')?;
    Some((status.parse().ok()?, rest.strip_prefix('?')?))
}

/// The value of `key` in a query of `key=value` pairs.
pub(crate) fn parameter<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// A parameter that is a number.
pub(crate) fn number(query: &str, key: &str) -> Option<u64> {
    parameter(query, key)?.parse().ok()
}
