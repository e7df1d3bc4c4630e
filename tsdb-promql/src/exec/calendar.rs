//! Fields of the Gregorian calendar in UTC.
//!
//! Source of the conversion from days to dates: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".

use crate::plan::CalendarField;

const SECONDS_PER_DAY: i64 = 86_400;

/// The field of a time in seconds since the Unix epoch; the part behind the decimal point is cut off.
pub(super) fn calendar_field(field: CalendarField, seconds: f64) -> f64 {
    // Saturates at the ends of 64 bits; NaN counts as 0.
    let seconds = seconds as i64;
    let days = seconds.div_euclid(SECONDS_PER_DAY);
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let value = match field {
        CalendarField::Hour => of_day / 3600,
        CalendarField::Minute => of_day % 3600 / 60,
        CalendarField::DayOfWeek => (days + 4).rem_euclid(7),
        CalendarField::DayOfMonth => Date::of_day(days).day,
        CalendarField::Month => Date::of_day(days).month,
        CalendarField::Year => Date::of_day(days).year,
        CalendarField::DaysInMonth => Date::of_day(days).days_in_month(),
        CalendarField::DayOfYear => Date::of_day(days).day_of_year(),
    };
    value as f64
}

struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// The date `days` days after 1970-01-01.
    fn of_day(days: i64) -> Self {
        // Years begin in March here, so that the leap day is the last of its year; eras have 400 years.
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day }
    }

    fn is_leap_year(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn days_in_month(&self) -> i64 {
        match self.month {
            2 if self.is_leap_year() => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn day_of_year(&self) -> i64 {
        let before =
            (1..self.month).map(|month| Self { year: self.year, month, day: 1 }.days_in_month()).sum::<i64>();
        before + self.day
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(seconds: f64) -> [f64; 8] {
        [
            CalendarField::Year,
            CalendarField::Month,
            CalendarField::DayOfMonth,
            CalendarField::Hour,
            CalendarField::Minute,
            CalendarField::DayOfWeek,
            CalendarField::DayOfYear,
            CalendarField::DaysInMonth,
        ]
        .map(|field| calendar_field(field, seconds))
    }

    #[test]
    fn known_dates_have_their_fields() {
        assert_eq!(fields(0.0), [1970.0, 1.0, 1.0, 0.0, 0.0, 4.0, 1.0, 31.0]);
        // 2024-02-29T12:34:56Z, a Thursday
        assert_eq!(fields(1_709_210_096.9), [2024.0, 2.0, 29.0, 12.0, 34.0, 4.0, 60.0, 29.0]);
        // 1969-12-31T23:59:59Z, a Wednesday
        assert_eq!(fields(-1.0), [1969.0, 12.0, 31.0, 23.0, 59.0, 3.0, 365.0, 31.0]);
        // 1900-02-28, a century that is no leap year
        assert_eq!(fields(-2_203_977_600.0)[..3], [1900.0, 2.0, 28.0]);
    }

    #[test]
    fn no_float_is_too_wild() {
        for wild in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300] {
            assert!(fields(wild).iter().all(|field| field.is_finite()), "{wild}");
        }
    }
}
