//! The functions of the language by what they work on, and the table of their names.

/// A function of one value, perhaps with scalar parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapFn {
    /// `abs`
    Abs,
    /// `ceil`
    Ceil,
    /// `floor`
    Floor,
    /// `exp`
    Exp,
    /// `sqrt`
    Sqrt,
    /// `ln`
    Ln,
    /// `log2`
    Log2,
    /// `log10`
    Log10,
    /// `sgn`
    Sgn,
    /// `deg`
    Deg,
    /// `rad`
    Rad,
    /// `sin` and its kin
    Trig(TrigFn),
    /// `round(v, to_nearest = 1)`
    Round,
    /// `clamp(v, min, max)`
    Clamp,
    /// `clamp_min(v, min)`
    ClampMin,
    /// `clamp_max(v, max)`
    ClampMax,
    /// `timestamp(v)` of anything but a selector: the time of the step
    Timestamp,
    /// `hour(v)` and its kin
    Calendar(CalendarField),
    /// `histogram_avg(v)` and its kin
    OfHistogram(MomentFn),
}

/// A part of a date or time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CalendarField {
    /// Day of the month, from 1.
    DayOfMonth,
    /// Day of the week, Sunday is 0.
    DayOfWeek,
    /// Day of the year, from 1.
    DayOfYear,
    /// Number of days of the month.
    DaysInMonth,
    /// Hour of the day, from 0.
    Hour,
    /// Minute of the hour, from 0.
    Minute,
    /// Month of the year, from 1.
    Month,
    /// Year.
    Year,
}

/// A trigonometric or hyperbolic function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrigFn {
    /// `sin`
    Sin,
    /// `cos`
    Cos,
    /// `tan`
    Tan,
    /// `asin`
    Asin,
    /// `acos`
    Acos,
    /// `atan`
    Atan,
    /// `sinh`
    Sinh,
    /// `cosh`
    Cosh,
    /// `tanh`
    Tanh,
    /// `asinh`
    Asinh,
    /// `acosh`
    Acosh,
    /// `atanh`
    Atanh,
}

/// What is asked of a native histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MomentFn {
    /// `histogram_avg`
    Mean,
    /// `histogram_count`
    Count,
    /// `histogram_sum`
    Sum,
    /// `histogram_stddev`
    Stddev,
    /// `histogram_stdvar`
    Stdvar,
}

/// A function of two scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PairFn {
    /// `max_of`
    Max,
    /// `min_of`
    Min,
}

/// A function of the samples of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeFn {
    /// `rate`
    Rate,
    /// `increase`
    Increase,
    /// `delta`
    Delta,
    /// `irate`
    Irate,
    /// `idelta`
    Idelta,
    /// `sum_over_time`
    Sum,
    /// `avg_over_time`
    Avg,
    /// `count_over_time`
    Count,
    /// `min_over_time`
    Min,
    /// `max_over_time`
    Max,
    /// `first_over_time`
    First,
    /// `last_over_time`
    Last,
    /// `present_over_time`
    Present,
    /// `stddev_over_time`
    Stddev,
    /// `stdvar_over_time`
    Stdvar,
    /// `quantile_over_time(q, range)`
    Quantile,
    /// `mad_over_time`
    Mad,
    /// `changes`
    Changes,
    /// `resets`
    Resets,
    /// `deriv`
    Deriv,
    /// `predict_linear(range, seconds)`
    PredictLinear,
    /// `double_exponential_smoothing(range, level, trend)`
    Smooth,
    /// `ts_of_first_over_time`
    FirstTime,
    /// `ts_of_last_over_time`
    LastTime,
    /// `ts_of_max_over_time`
    MaxTime,
    /// `ts_of_min_over_time`
    MinTime,
}

impl RangeFn {
    /// The function with this name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "rate" => Self::Rate,
            "increase" => Self::Increase,
            "delta" => Self::Delta,
            "irate" => Self::Irate,
            "idelta" => Self::Idelta,
            "sum_over_time" => Self::Sum,
            "avg_over_time" => Self::Avg,
            "count_over_time" => Self::Count,
            "min_over_time" => Self::Min,
            "max_over_time" => Self::Max,
            "first_over_time" => Self::First,
            "last_over_time" => Self::Last,
            "present_over_time" => Self::Present,
            "stddev_over_time" => Self::Stddev,
            "stdvar_over_time" => Self::Stdvar,
            "quantile_over_time" => Self::Quantile,
            "mad_over_time" => Self::Mad,
            "changes" => Self::Changes,
            "resets" => Self::Resets,
            "deriv" => Self::Deriv,
            "predict_linear" => Self::PredictLinear,
            "double_exponential_smoothing" => Self::Smooth,
            "ts_of_first_over_time" => Self::FirstTime,
            "ts_of_last_over_time" => Self::LastTime,
            "ts_of_max_over_time" => Self::MaxTime,
            "ts_of_min_over_time" => Self::MinTime,
            _ => return None,
        })
    }

    /// The name as storage may want to know it, to read a column that answers the function exactly.
    pub(crate) const fn hint(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Increase => "increase",
            Self::Delta => "delta",
            Self::Irate => "irate",
            Self::Idelta => "idelta",
            Self::Sum => "sum_over_time",
            Self::Avg => "avg_over_time",
            Self::Count => "count_over_time",
            Self::Min => "min_over_time",
            Self::Max => "max_over_time",
            Self::First => "first_over_time",
            Self::Last => "last_over_time",
            Self::Present => "present_over_time",
            Self::Stddev => "stddev_over_time",
            Self::Stdvar => "stdvar_over_time",
            Self::Quantile => "quantile_over_time",
            Self::Mad => "mad_over_time",
            Self::Changes => "changes",
            Self::Resets => "resets",
            Self::Deriv => "deriv",
            Self::PredictLinear => "predict_linear",
            Self::Smooth => "double_exponential_smoothing",
            Self::FirstTime => "ts_of_first_over_time",
            Self::LastTime => "ts_of_last_over_time",
            Self::MaxTime => "ts_of_max_over_time",
            Self::MinTime => "ts_of_min_over_time",
        }
    }

    /// Is there nothing about native histograms that the function remarks upon?
    pub(crate) const fn is_silent_about_histograms(self) -> bool {
        matches!(
            self,
            Self::Count
                | Self::First
                | Self::Last
                | Self::Present
                | Self::Changes
                | Self::FirstTime
                | Self::LastTime
        )
    }

    /// Does the result keep the metric name? The functions that only pick a sample act like `offset`.
    pub(crate) const fn keeps_name(self) -> bool {
        matches!(self, Self::First | Self::Last)
    }
}

impl MapFn {
    /// The function with this name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "ceil" => Self::Ceil,
            "floor" => Self::Floor,
            "exp" => Self::Exp,
            "sqrt" => Self::Sqrt,
            "ln" => Self::Ln,
            "log2" => Self::Log2,
            "log10" => Self::Log10,
            "sgn" => Self::Sgn,
            "deg" => Self::Deg,
            "rad" => Self::Rad,
            "round" => Self::Round,
            "clamp" => Self::Clamp,
            "clamp_min" => Self::ClampMin,
            "clamp_max" => Self::ClampMax,
            "timestamp" => Self::Timestamp,
            "histogram_avg" => Self::OfHistogram(MomentFn::Mean),
            "histogram_count" => Self::OfHistogram(MomentFn::Count),
            "histogram_sum" => Self::OfHistogram(MomentFn::Sum),
            "histogram_stddev" => Self::OfHistogram(MomentFn::Stddev),
            "histogram_stdvar" => Self::OfHistogram(MomentFn::Stdvar),
            _ => return TrigFn::by_name(name).map(Self::Trig),
        })
    }
}

impl TrigFn {
    fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "sin" => Self::Sin,
            "cos" => Self::Cos,
            "tan" => Self::Tan,
            "asin" => Self::Asin,
            "acos" => Self::Acos,
            "atan" => Self::Atan,
            "sinh" => Self::Sinh,
            "cosh" => Self::Cosh,
            "tanh" => Self::Tanh,
            "asinh" => Self::Asinh,
            "acosh" => Self::Acosh,
            "atanh" => Self::Atanh,
            _ => return None,
        })
    }
}

/// The calendar function with this name.
pub(crate) fn calendar_by_name(name: &str) -> Option<CalendarField> {
    Some(match name {
        "day_of_month" => CalendarField::DayOfMonth,
        "day_of_week" => CalendarField::DayOfWeek,
        "day_of_year" => CalendarField::DayOfYear,
        "days_in_month" => CalendarField::DaysInMonth,
        "hour" => CalendarField::Hour,
        "minute" => CalendarField::Minute,
        "month" => CalendarField::Month,
        "year" => CalendarField::Year,
        _ => return None,
    })
}
