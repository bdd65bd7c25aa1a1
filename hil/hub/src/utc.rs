//! UTC as the services see it: an epoch plus virtual time.

use core::time::Duration;

use sim_base::Instant;
use time::OffsetDateTime;

/// The relation between virtual time and UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    epoch_seconds: u64,
}

impl Utc {
    /// A clock that shows `epoch_seconds` (Unix time) at [`Instant::ZERO`].
    pub const fn new(epoch_seconds: u64) -> Self {
        Self { epoch_seconds }
    }

    /// Unix time in whole seconds.
    pub const fn seconds(&self, now: Instant) -> u64 {
        self.epoch_seconds.saturating_add(now.as_nanos() / 1_000_000_000)
    }

    /// The instant at which `unix_seconds` begins; `Instant::ZERO` if that was before the simulation.
    pub fn instant(&self, unix_seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(unix_seconds.saturating_sub(self.epoch_seconds))
    }

    /// The instant that an ISO 8601 time such as `2026-01-31T12:00:00.5Z` names; `Instant::ZERO` if that was before the
    /// simulation, `None` if it is no time in UTC.
    pub fn parse(&self, text: &str) -> Option<Instant> {
        let (seconds, rest) = text.split_at_checked(19)?;
        let bytes = seconds.as_bytes();
        let shape = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        let digits = bytes.iter().enumerate().all(|(i, b)| b.is_ascii_digit() || shape.contains(&(i, *b)));
        if !digits || !shape.iter().all(|(at, byte)| bytes[*at] == *byte) {
            return None;
        }
        let number = |from: usize, upto: usize| seconds[from..upto].parse::<u16>().ok();
        let small = |from: usize| number(from, from + 2).and_then(|n| u8::try_from(n).ok());
        let month = time::Month::try_from(small(5)?).ok()?;
        let date = time::Date::from_calendar_date(i32::from(number(0, 4)?), month, small(8)?).ok()?;
        let clock = time::Time::from_hms(small(11)?, small(14)?, small(17)?).ok()?;
        let fraction = rest.strip_suffix('Z').or_else(|| rest.strip_suffix("+00:00"))?;
        let nanos = match fraction.strip_prefix('.') {
            None if fraction.is_empty() => 0,
            Some(digits) if (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) => {
                format!("{digits:0<9}").parse::<u64>().ok()?
            }
            _ => return None,
        };
        let unix = u64::try_from(date.with_time(clock).assume_utc().unix_timestamp()).ok()?;
        match unix.checked_sub(self.epoch_seconds) {
            None => Some(Instant::ZERO),
            Some(since) => Some(Instant::from_nanos(since.checked_mul(1_000_000_000)?.checked_add(nanos)?)),
        }
    }

    fn calendar(&self, now: Instant) -> OffsetDateTime {
        let nanos = i128::from(self.epoch_seconds) * 1_000_000_000 + i128::from(now.as_nanos());
        // Beyond the year 9999 the calendar ends; the epoch is the honest answer to a nonsensical clock.
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// `Wed, 09 Nov 2022 10:42:02 GMT`: the date of HTTP (RFC 9110 section 5.6.7).
    pub fn http_date(&self, now: Instant) -> String {
        let t = self.calendar(now);
        let (weekday, month) = (t.weekday().to_string(), t.month().to_string());
        format!(
            "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
            &weekday[..3],
            t.day(),
            &month[..3],
            t.year(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }

    /// `2026-01-31T12:00:00.1234567Z`: the seven fractional digits that the Azure services write.
    pub fn format(&self, now: Instant) -> String {
        let t = self.calendar(now);
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:07}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.nanosecond() / 100
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_seven_digits() {
        let utc = Utc::new(1_667_990_522);
        assert_eq!(utc.format(Instant::from_nanos(554_296_799)), "2022-11-09T10:42:02.5542967Z");
        assert_eq!(utc.http_date(Instant::ZERO), "Wed, 09 Nov 2022 10:42:02 GMT");
        assert_eq!(utc.seconds(Instant::from_nanos(1_999_999_999)), 1_667_990_523);
        for (text, nanos) in [
            ("2022-11-09T10:42:02.5542967Z", Some(554_296_700)),
            ("2022-11-09T10:42:03Z", Some(1_000_000_000)),
            ("2022-11-09T10:42:03.5+00:00", Some(1_500_000_000)),
            ("1999-01-01T00:00:00Z", Some(0)),
            ("2022-02-30T10:42:03Z", None),
            ("2022-11-09T10:42:03", None),
            ("2022-11-09T1:42:033Z", None),
            ("2022-11-09T10:42:03.Z", None),
            ("9999-12-31T23:59:59Z", None),
        ] {
            assert_eq!(utc.parse(text), nanos.map(Instant::from_nanos), "{text}");
        }
        assert_eq!(utc.instant(1_667_990_525), Instant::from_nanos(3_000_000_000));
    }
}
