//! Times by Go's layouts: `2006-01-02T15:04:05Z07:00` and the like. All times are in UTC.

use super::value::Value;
use crate::rfc3339::civil_from_days;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// A time in parts.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
    /// Days since a Thursday.
    days: i64,
}

impl Civil {
    fn new(ns: i64) -> Self {
        let (days, within) = (ns.div_euclid(DAY), ns.rem_euclid(DAY));
        let (year, month, day) = civil_from_days(days);
        let seconds = within / SECOND;
        Self {
            year,
            month,
            day,
            hour: seconds / 3_600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            nanosecond: within % SECOND,
            days,
        }
    }

    fn month_name(&self) -> &'static str {
        usize::try_from(self.month - 1).ok().and_then(|index| MONTHS.get(index)).unwrap_or(&"")
    }

    fn day_name(&self) -> &'static str {
        usize::try_from(self.days.rem_euclid(7)).ok().and_then(|index| DAYS.get(index)).unwrap_or(&"")
    }

    fn day_of_year(&self) -> i64 {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let behind_february = if self.month > 2 { 2 - i64::from(leap) } else { 0 };
        (self.month * 367 - 362) / 12 - behind_february + self.day
    }

    fn hour_of_half(&self) -> i64 {
        (self.hour + 11) % 12 + 1
    }
}

/// How Go prints a time.
pub(super) const PRINTED: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// The result of the method `name` of a time; `None` if there is no such method.
pub(super) fn part(ns: i64, name: &str) -> Option<Value> {
    let civil = Civil::new(ns);
    Some(match name {
        "Year" => Value::Int(civil.year),
        "Month" => Value::text(civil.month_name()),
        "Day" => Value::Int(civil.day),
        "Hour" => Value::Int(civil.hour),
        "Minute" => Value::Int(civil.minute),
        "Second" => Value::Int(civil.second),
        "Nanosecond" => Value::Int(civil.nanosecond),
        "YearDay" => Value::Int(civil.day_of_year()),
        "Weekday" => Value::text(civil.day_name()),
        "String" => Value::text(format(ns, PRINTED)),
        _ => return None,
    })
}

type Writer = fn(&Civil, &mut String);

/// What stands in a layout and what is written for it; of those that begin alike the longer comes first.
const ELEMENTS: [(&str, Writer); 33] = [
    ("January", |t, out| out.push_str(t.month_name())),
    ("Jan", |t, out| out.push_str(t.month_name().get(..3).unwrap_or(""))),
    ("Monday", |t, out| out.push_str(t.day_name())),
    ("Mon", |t, out| out.push_str(t.day_name().get(..3).unwrap_or(""))),
    ("MST", |_, out| out.push_str("UTC")),
    ("002", |t, out| out.push_str(&format!("{:03}", t.day_of_year()))),
    ("01", |t, out| out.push_str(&format!("{:02}", t.month))),
    ("02", |t, out| out.push_str(&format!("{:02}", t.day))),
    ("03", |t, out| out.push_str(&format!("{:02}", t.hour_of_half()))),
    ("04", |t, out| out.push_str(&format!("{:02}", t.minute))),
    ("05", |t, out| out.push_str(&format!("{:02}", t.second))),
    ("06", |t, out| out.push_str(&format!("{:02}", t.year.rem_euclid(100)))),
    ("15", |t, out| out.push_str(&format!("{:02}", t.hour))),
    ("2006", |t, out| out.push_str(&format!("{:04}", t.year))),
    ("__2", |t, out| out.push_str(&format!("{:3}", t.day_of_year()))),
    ("_2", |t, out| out.push_str(&format!("{:2}", t.day))),
    ("PM", |t, out| out.push_str(if t.hour < 12 { "AM" } else { "PM" })),
    ("pm", |t, out| out.push_str(if t.hour < 12 { "am" } else { "pm" })),
    ("-07:00:00", |_, out| out.push_str("+00:00:00")),
    ("-07:00", |_, out| out.push_str("+00:00")),
    ("-070000", |_, out| out.push_str("+000000")),
    ("-0700", |_, out| out.push_str("+0000")),
    ("-07", |_, out| out.push_str("+00")),
    ("Z07:00:00", |_, out| out.push('Z')),
    ("Z07:00", |_, out| out.push('Z')),
    ("Z070000", |_, out| out.push('Z')),
    ("Z0700", |_, out| out.push('Z')),
    ("Z07", |_, out| out.push('Z')),
    ("1", |t, out| out.push_str(&t.month.to_string())),
    ("2", |t, out| out.push_str(&t.day.to_string())),
    ("3", |t, out| out.push_str(&t.hour_of_half().to_string())),
    ("4", |t, out| out.push_str(&t.minute.to_string())),
    ("5", |t, out| out.push_str(&t.second.to_string())),
];

/// The time as `layout` says, in which the parts of Go's reference time stand for those of this one.
pub(super) fn format(ns: i64, layout: &str) -> String {
    let civil = Civil::new(ns);
    let (mut out, mut rest) = (String::new(), layout);
    while let Some(first) = rest.chars().next() {
        if let Some((digits, behind)) = fraction(rest) {
            write_fraction(&civil, digits, &mut out);
            rest = behind;
        } else if let Some((element, write)) = ELEMENTS.iter().find(|(text, _)| rest.starts_with(text)) {
            write(&civil, &mut out);
            rest = rest.get(element.len()..).unwrap_or("");
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or("");
        }
    }
    out
}

/// The point and digits of a fraction of a second at the beginning of a layout, and what follows: zeros or nines that
/// no other digit follows.
fn fraction(layout: &str) -> Option<(&str, &str)> {
    let digits = layout.strip_prefix(['.', ','])?;
    let digit = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let len = digits.len() - digits.trim_start_matches(digit).len();
    let (all, behind) = layout.split_at(len + 1);
    (!behind.starts_with(|c: char| c.is_ascii_digit())).then_some((all, behind))
}

/// As many digits as there are zeros; with nines without the zeros at the end.
fn write_fraction(civil: &Civil, layout: &str, out: &mut String) {
    let all = format!("{:09}", civil.nanosecond);
    let digits = all.get(..(layout.len() - 1).min(9)).unwrap_or(&all);
    let digits = if layout.ends_with('9') { digits.trim_end_matches('0') } else { digits };
    if !digits.is_empty() {
        out.extend(layout.chars().take(1));
        out.push_str(digits);
    }
}

/// A length of time as Go prints it: `1h30m0s`, `1.5s`, `20ms`.
pub(super) fn duration(ns: i64) -> String {
    let magnitude = ns.unsigned_abs();
    let sign = if ns < 0 { "-" } else { "" };
    let text = match magnitude {
        0 => "0s".to_owned(),
        ns if ns < 1_000 => format!("{ns}ns"),
        ns if ns < 1_000_000 => format!("{}\u{b5}s", decimal(ns, 1_000)),
        ns if ns < 1_000_000_000 => format!("{}ms", decimal(ns, 1_000_000)),
        ns => {
            let minutes = ns / 60_000_000_000;
            let seconds = decimal(ns % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

fn decimal(value: u64, unit: u64) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
