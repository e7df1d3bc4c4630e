//! Points in time as text: RFC 3339, read and written.
//!
//! Civil dates are those of the proleptic Gregorian calendar; the day arithmetic is Howard Hinnant's
//! `days_from_civil`. Digits past the millisecond are cut off. Leap seconds (`:60`) are refused: Unix time has none.

use tsdb_core::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// The time that `text` names, ms since the Unix epoch; `None` if it is no RFC 3339 time.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let (date, rest) = bytes.split_first_chunk::<10>()?;
    let (clock, rest) = rest.split_first_chunk::<9>()?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *date else { return None };
    let [b'T' | b't' | b' ', h0, h1, b':', i0, i1, b':', s0, s1] = *clock else { return None };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[m0, m1])?, number(&[d0, d1])?);
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[i0, i1])?, number(&[s0, s1])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction_ms, zone) = fraction(rest)?;
    let offset_minutes = offset(zone)?;
    let seconds = hour * 3_600 + (minute - offset_minutes) * 60 + second;
    Some(days_from_civil(year, month, day) * DAY_MS + seconds * 1_000 + fraction_ms)
}

/// The time `at` as RFC 3339 in UTC with milliseconds.
pub(crate) fn format(at: Timestamp) -> String {
    let (year, month, day) = civil_from_days(at.div_euclid(DAY_MS));
    let ms = at.rem_euclid(DAY_MS);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// The milliseconds of an optional fraction and what follows it.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits_on) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let len = digits_on.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, zone) = digits_on.split_at_checked(len)?;
    if digits.is_empty() {
        return None;
    }
    let ms = digits.iter().chain(b"00").take(3).fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some((ms, zone))
}

fn offset(zone: &[u8]) -> Option<i64> {
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let (hours, minutes) = (number(&[h0, h1])?, number(&[m0, m1])?);
            let total = (hours <= 23 && minutes <= 59).then_some(hours * 60 + minutes)?;
            Some(if sign == b'-' { -total } else { total })
        }
        _ => None,
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_wire_contract() {
        assert_eq!(parse("2026-04-08T10:15:30Z"), Some(1_775_643_330_000));
        assert_eq!(parse("2015-07-01T20:10:30.781Z"), Some(1_435_781_430_781));
        assert_eq!(parse("2015-07-01T22:10:30.7819999+02:00"), Some(1_435_781_430_781));
        assert_eq!(parse("2015-07-01T15:10:30.781-05:00"), Some(1_435_781_430_781));
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse("1969-12-31T23:59:59.5Z"), Some(-500));
        assert_eq!(parse("2000-02-29T00:00:00Z"), Some(951_782_400_000));
        assert_eq!(parse("0000-01-01T00:00:00Z"), Some(-62_167_219_200_000));
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "2026",
            "2026-04-08",
            "2026-04-08T10:15:30",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-04-08T24:00:00Z",
            "2026-04-08T10:60:00Z",
            "2026-06-30T23:59:60Z",
            "2026-04-08T10:15:30.Z",
            "2026-04-08T10:15:30+2:00",
            "2026-04-08T10:15:30ZZ",
            "2026-04-08T10:15:30\u{e9}",
            "+026-04-08T10:15:30Z",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for day in (-200_000..200_000).step_by(97) {
            let at = day * DAY_MS + 12_345_678;
            assert_eq!(parse(&format(at)), Some(at));
        }
        assert_eq!(format(1_435_781_430_781), "2015-07-01T20:10:30.781Z");
        assert!(!format(i64::MIN).is_empty() && !format(i64::MAX).is_empty());
    }
}
