//! The calendar, day by day.

/// A date and a time of day.
pub(super) struct Date {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) day_of_year: i64,
    pub(super) day_of_week: i64,
    pub(super) days_in_month: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The date at so many seconds since 1970, in UTC, by counting years and months.
pub(super) fn date(seconds: i64) -> Date {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (mut year, mut left) = (1970, days);
    while left < 0 {
        year -= 1;
        left += 365 + i64::from(is_leap(year));
    }
    while left >= 365 + i64::from(is_leap(year)) {
        left -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let (day_of_year, mut month) = (left + 1, 1);
    while left >= days_in_month(year, month) {
        left -= days_in_month(year, month);
        month += 1;
    }
    Date {
        year,
        month,
        day: left + 1,
        day_of_year,
        day_of_week: (days + 4).rem_euclid(7),
        days_in_month: days_in_month(year, month),
        hour: second / 3600,
        minute: second / 60 % 60,
    }
}
