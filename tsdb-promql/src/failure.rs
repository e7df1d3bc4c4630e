//! Why a query has no answer.

use crate::ast::format_duration;
use crate::error::ParseError;
use core::fmt;
use tsdb_core::read::ReadError;

/// Why a query has no answer. [`kind`](Self::kind) sorts the reasons into what a caller reacts to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is no query.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The type of the expression cannot be evaluated over a range.
    #[error("invalid expression type {found:?} for range query, must be Scalar or instant Vector")]
    RangeType {
        /// The type found, as the documentation names it.
        found: &'static str,
    },
    /// The step of a range query is not positive.
    #[error("the step of a range query must be positive, got {step_ms} ms")]
    BadStep {
        /// The step asked for, ms.
        step_ms: i64,
    },
    /// The end of the query lies before its start.
    #[error("end timestamp {end} must not be before start timestamp {start}")]
    EndBeforeStart {
        /// First evaluation time, ms.
        start: i64,
        /// Last evaluation time, ms.
        end: i64,
    },
    /// More time between start and end than one query may have.
    #[error("the query spans {}, max_range allows {}", period(*range_ms), period(*limit_ms))]
    RangeTooLong {
        /// Time between start and end, ms.
        range_ms: u64,
        /// The time allowed, ms.
        limit_ms: u64,
    },
    /// More steps than one query may have.
    #[error(
        "exceeded maximum resolution of {limit} points per timeseries: {points} asked for. Try decreasing the query resolution (?step=XX)"
    )]
    TooManyPoints {
        /// Steps asked for.
        points: u64,
        /// Steps allowed.
        limit: u64,
    },
    /// A valid query whose data or parameters do not fit together.
    #[error("{message}")]
    Execution {
        /// What does not fit.
        message: String,
    },
    /// More samples than one query may hold at one time.
    #[error(
        "query processing would load too many samples into memory in query execution ({needed} needed, {limit} allowed){}",
        asked_by(operator.as_deref())
    )]
    TooManySamples {
        /// The operator that asked for more, as an explained plan names it.
        operator: Option<String>,
        /// Samples held and asked for when the limit was hit.
        needed: u64,
        /// Samples allowed.
        limit: u64,
    },
    /// The estimate of what the query would take exceeds a limit; nothing was read.
    #[error(
        "the query is estimated to take {estimated} {what}, {name} allows {limit}; {of_selector} of them for {selector}",
        name = what.name()
    )]
    TooCostly {
        /// What there is too much of.
        what: CostLimit,
        /// The estimate for the whole query.
        estimated: u64,
        /// How many are allowed.
        limit: u64,
        /// The selector with the largest share.
        selector: String,
        /// Its share.
        of_selector: u64,
    },
    /// More memory than the queries that share some may hold together.
    #[error(
        "the query needs {needed} bytes more, and the queries that share memory with it hold {held} of the {limit} that they may"
    )]
    OutOfMemory {
        /// Bytes asked for.
        needed: u64,
        /// Bytes held by all queries, this one among them.
        held: u64,
        /// Bytes allowed.
        limit: u64,
        /// Does this query hold all of them itself? Then it fails however often it is asked.
        alone: bool,
    },
    /// The time for the query is over.
    #[error("query timed out in expression evaluation after {limit_ms} ms")]
    Timeout {
        /// The time allowed, ms.
        limit_ms: u64,
    },
    /// The caller asked to stop.
    #[error("query was canceled in expression evaluation")]
    Cancelled,
    /// Storage could not be read.
    #[error("expanding series: {0}")]
    Storage(#[from] ReadError),
}

/// A limit on what a query is estimated to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CostLimit {
    /// Series selected.
    Series,
    /// Samples read.
    Samples,
    /// Points computed from them.
    Points,
    /// Memory of samples and points.
    Bytes,
}

impl CostLimit {
    /// The name of the limit among the [options](crate::EngineOptions).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Series => "max_series",
            Self::Samples => "max_estimated_samples",
            Self::Points => "max_estimated_points",
            Self::Bytes => "max_estimated_bytes",
        }
    }
}

impl fmt::Display for CostLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Series => "series",
            Self::Samples => "samples",
            Self::Points => "points",
            Self::Bytes => "bytes",
        })
    }
}

/// Classes of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueryErrorKind {
    /// The query or its parameters are wrong.
    BadData,
    /// The query is right, the data or the limits are not.
    Execution,
    /// Others hold what it needs: it may succeed later.
    Busy,
    /// It took too long.
    Timeout,
    /// The caller stopped it.
    Cancelled,
    /// Storage failed.
    Storage,
}

impl QueryError {
    /// The class of the reason.
    pub fn kind(&self) -> QueryErrorKind {
        match self {
            Self::Parse(_)
            | Self::RangeType { .. }
            | Self::BadStep { .. }
            | Self::EndBeforeStart { .. }
            | Self::RangeTooLong { .. }
            | Self::TooManyPoints { .. } => QueryErrorKind::BadData,
            Self::OutOfMemory { alone: false, .. } => QueryErrorKind::Busy,
            Self::Execution { .. }
            | Self::TooManySamples { .. }
            | Self::TooCostly { .. }
            | Self::OutOfMemory { .. } => QueryErrorKind::Execution,
            Self::Timeout { .. } => QueryErrorKind::Timeout,
            Self::Cancelled => QueryErrorKind::Cancelled,
            Self::Storage(_) => QueryErrorKind::Storage,
        }
    }

    pub(crate) fn execution(message: impl Into<String>) -> Self {
        Self::Execution { message: message.into() }
    }

    /// The same reason; if it is that the account is full, with the name of the operator, unless one further inside
    /// has given its own.
    #[must_use]
    pub(crate) fn asked_by(mut self, name: impl FnOnce() -> String) -> Self {
        if let Self::TooManySamples { operator: operator @ None, .. } = &mut self {
            *operator = Some(name());
        }
        self
    }

    pub(crate) fn same_labelset() -> Self {
        Self::execution("vector cannot contain metrics with the same labelset")
    }
}

fn asked_by(operator: Option<&str>) -> String {
    operator.map(|operator| format!(", asked for by: {operator}")).unwrap_or_default()
}

fn period(ms: u64) -> String {
    format_duration(i64::try_from(ms).unwrap_or(i64::MAX))
}
