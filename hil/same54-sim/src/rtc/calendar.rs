//! Mode 2 of the RTC: seconds to CLOCK register fields and back (datasheet 21.12.7).
//!
//! Year 0 is the reference year and a leap year, as are all years divisible by four.

/// Seconds of the 64 years that the register can hold.
pub(super) const SECONDS: u64 = (16 * (4 * 365 + 1)) * DAY;

const DAY: u64 = 86_400;
const FOUR_YEARS: u64 = 4 * 365 + 1;

fn month_length(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// CLOCK for the second `count` since the start of the reference year, 24-hour format.
pub(super) fn to_register(count: u64) -> u32 {
    let (days, second) = (count / DAY, count % DAY);
    let (mut year, mut day) = (days / FOUR_YEARS * 4, days % FOUR_YEARS);
    loop {
        let length = if year.is_multiple_of(4) { 366 } else { 365 };
        if day < length {
            break;
        }
        day -= length;
        year += 1;
    }
    let mut month = 1;
    while day >= month_length(year, month) {
        day -= month_length(year, month);
        month += 1;
    }
    let fields =
        (second % 60) | ((second / 60 % 60) << 6) | (second / 3_600) << 12 | (day + 1) << 17 | month << 22 | year << 26;
    fields as u32
}

/// Seconds since the start of the reference year for a CLOCK value.
pub(super) fn from_register(register: u32) -> u64 {
    let field = |low: u32, bits: u32| u64::from(register >> low & ((1 << bits) - 1));
    let (year, month, day) = (field(26, 6), field(22, 4).max(1), field(17, 5).max(1));
    let days = year / 4 * FOUR_YEARS
        + (0..year % 4).map(|n| if n == 0 { 366 } else { 365 }).sum::<u64>()
        + (1..month).map(|n| month_length(year, n)).sum::<u64>()
        + day
        - 1;
    (days * DAY + field(12, 5) * 3_600 + field(6, 6) * 60 + field(0, 6)) % SECONDS
}

/// The hour field of `clock` with 12 hours: bit 16 is PM, the rest 1 to 12 (21.12.7).
pub(super) fn to_twelve_hours(clock: u32) -> u32 {
    let hour = clock >> 12 & 31;
    let twelve = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
    clock & !(31 << 12) | twelve << 12 | u32::from(hour >= 12) << 16
}

/// The reverse of [`to_twelve_hours`].
pub(super) fn from_twelve_hours(clock: u32) -> u32 {
    let hour = (clock >> 12 & 15) % 12 + 12 * (clock >> 16 & 1);
    clock & !(31 << 12) | hour << 12
}

/// Whether `clock` matches `alarm` under MASK.SEL (21.12.10).
pub(super) fn matches(clock: u32, alarm: u32, select: u32) -> bool {
    let bits = match select {
        0 => return false,
        1 => 6,
        2 => 12,
        3 => 17,
        4 => 22,
        5 => 26,
        _ => 32,
    };
    let mask = if bits == 32 { u32::MAX } else { (1 << bits) - 1 };
    (clock ^ alarm) & mask == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_converts_there_and_back() {
        for day in 0..SECONDS / DAY {
            let count = day * DAY + 45_296;
            assert_eq!(from_register(to_register(count)), count);
        }
    }

    #[test]
    fn noon_and_midnight_are_twelve_and_every_hour_converts_there_and_back() {
        assert_eq!(to_twelve_hours(0) >> 12, 12);
        assert_eq!(to_twelve_hours(12 << 12) >> 12, 12 | 16);
        for hour in 0..24 {
            assert_eq!(from_twelve_hours(to_twelve_hours(hour << 12)), hour << 12);
        }
    }

    #[test]
    fn the_leap_day_of_year_four_follows_february_28th() {
        let february_28 = from_register(28 << 17 | 2 << 22 | 4 << 26);
        let next = to_register(february_28 + DAY);
        assert_eq!((next >> 17 & 31, next >> 22 & 15, next >> 26), (29, 2, 4));
    }
}
