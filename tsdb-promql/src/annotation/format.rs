//! Numbers and times as Go prints them.

use crate::ast::format_number;
use tsdb_core::Timestamp;

/// A number as Go's `%g` prints it: shortest digits, an exponent below 1e-4 and from 1e6.
pub(crate) fn format_general(value: f64) -> String {
    let exponent = if value == 0.0 || !value.is_finite() { 0 } else { exponent_of(&format!("{value:e}")) };
    if (-4..6).contains(&exponent) {
        return format_number(value);
    }
    go_exponent(&format!("{value:e}"))
}

/// A number as Go's `%.2g` prints it: two digits, an exponent below 1e-4 and from 1e2.
pub(super) fn format_two_digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format_number(value);
    }
    let scientific = format!("{value:.1e}");
    let exponent = exponent_of(&scientific);
    if (-4..2).contains(&exponent) {
        return format_number(scientific.parse().unwrap_or(value));
    }
    go_exponent(&scientific.replace(".0e", "e"))
}

fn exponent_of(scientific: &str) -> i32 {
    scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

/// Turns Rust's `1e-7` into Go's `1e-07`.
fn go_exponent(scientific: &str) -> String {
    let exponent = exponent_of(scientific);
    let mantissa = scientific.split('e').next().unwrap_or("");
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// A time as RFC 3339 in UTC, whole seconds. Source of the calendar: Howard Hinnant, `civil_from_days`.
pub(super) fn format_time(at: Timestamp) -> String {
    let seconds = at.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_go() {
        assert_eq!(format_general(1e-7), "1e-07");
        assert_eq!(format_general(1.5e22), "1.5e+22");
        assert_eq!(format_general(100_000.0), "100000");
        assert_eq!(format_general(1_000_000.0), "1e+06");
        assert_eq!(format_general(f64::NAN), "NaN");
        assert_eq!(format_two_digits(1234.0), "1.2e+03");
        assert_eq!(format_two_digits(1.0), "1");
        assert_eq!(format_time(951_782_400_000), "2000-02-29T00:00:00Z");
    }
}
