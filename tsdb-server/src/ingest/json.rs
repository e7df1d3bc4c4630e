//! `POST /v1/metrics/push`: samples as JSON.
//!
//! Two forms are taken, also mixed: `metric` and `timestampMs`, or `name` and `timestamp` (ms or RFC 3339), each
//! sample with `labels` and `value`. A body that is no JSON, or whose outline is another, is refused whole; a sample
//! with a fault is dropped alone and reported by its index. Samples stream into the batch: no list of them is built.
//! JSON has no NaN and no infinities: the strings `"NaN"`, `"+Inf"` and `"-Inf"` stand for them.

use super::batch::{Batch, Outcome, Refusals, sample_reason, series_reason};
use super::intake::Intake;
use super::loose::{Loose, LooseLabels, LooseSample};
use crate::error::{ApiError, ErrorKind};
use crate::limits::SeriesRules;
use crate::rfc3339;
use crate::validation::{self, LabelFault};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use tsdb_core::labels::write_wire_pair;
use tsdb_core::write::{Exceeded, Origin};
use tsdb_core::{Labels, METRIC_NAME, Sample, SeriesRef, Timestamp};

/// What became of a push.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) accepted: u64,
    pub(crate) refusals: Refusals,
}

/// Reads `body` and writes its samples to the store of the tenant.
pub(crate) fn push(intake: &Intake<'_>, body: &[u8]) -> Result<Pushed, ApiError> {
    check_depth(body)?;
    let known = intake.existing_store()?;
    let opened;
    let mut sink = PushSink {
        batch: intake.batch(known.as_deref(), Origin::Push),
        rules: &intake.limits.push.0,
        indices: Vec::new(),
        next_index: 0,
        wire: Vec::new(),
        first_unknown: None,
        resumed_at: None,
        storable: known.is_some(),
        stop: None,
    };
    let claimed = sink.read(body)?;
    if claimed.is_some_and(|claimed| claimed != intake.tenant.as_str()) {
        let message = "tenantId in the body is not the tenant of the request";
        return Err(ApiError::new(ErrorKind::Forbidden, message));
    }
    intake.admit(sink.batch.cost())?;
    if let Some(first_unknown) = sink.first_unknown {
        if known.is_none() {
            opened = if sink.storable { Some(intake.open_store()?) } else { None };
            let refusals = std::mem::take(&mut sink.batch.refusals);
            sink.batch = intake.batch(opened.as_deref(), Origin::Push);
            sink.batch.refusals = refusals;
        }
        sink.resume(first_unknown);
        sink.read(body)?;
    }
    let indices = sink.indices;
    let outcome = sink.batch.commit(intake.refusing())?;
    intake.stored(&outcome);
    Ok(report(outcome, &indices))
}

fn report(mut outcome: Outcome, indices: &[usize]) -> Pushed {
    for (position, error) in &outcome.refused_positions {
        let index = indices.get(*position).copied().unwrap_or(*position);
        outcome.refusals.add(index, sample_reason(error), || error.to_string());
    }
    Pushed { accepted: outcome.accepted, refusals: outcome.refusals }
}

/// The deepest nesting of a body: a push needs four levels.
const MAX_DEPTH: usize = 32;

/// Refuses nesting beyond [`MAX_DEPTH`] before the parser recurses into it.
fn check_depth(body: &[u8]) -> Result<(), ApiError> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(ApiError::bad_data(format!("the body nests deeper than {MAX_DEPTH} levels")));
        }
    }
    Ok(())
}

/// The two readings of a request, see [`batch`](super::batch).
struct PushSink<'a> {
    batch: Batch<'a>,
    rules: &'a SeriesRules,
    /// Index in the request of each sample of the batch.
    indices: Vec<usize>,
    next_index: usize,
    wire: Vec<u8>,
    /// The sample where the first reading stopped appending.
    first_unknown: Option<usize>,
    /// Set in the second reading: the samples before this one are done.
    resumed_at: Option<usize>,
    /// Does the request hold a sample that a new store would take? Known without looking if there is a store.
    storable: bool,
    /// Set when the request breaks a limit as a whole.
    stop: Option<ApiError>,
}

impl PushSink<'_> {
    /// Reads the whole of `body`; answers the `tenantId` that it claims.
    fn read(&mut self, body: &[u8]) -> Result<Option<String>, ApiError> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let parsed = Document { sink: self }.deserialize(&mut reader).and_then(|claimed| {
            reader.end()?;
            Ok(claimed)
        });
        match self.stop.take() {
            Some(stop) => Err(stop),
            None => parsed.map_err(|e| ApiError::bad_data(format!("the body is no push request: {e}"))),
        }
    }

    /// Prepares for the second reading, which begins at the sample `first`.
    const fn resume(&mut self, first: usize) {
        self.resumed_at = Some(first);
        self.next_index = 0;
        self.batch.resume();
    }

    fn take(&mut self, sample: LooseSample<'_>) -> Result<(), ApiError> {
        let index = self.next_index;
        self.next_index += 1;
        if self.resumed_at.is_some_and(|first| index < first) {
            return Ok(());
        }
        let is_first = self.resumed_at.is_none();
        if is_first && self.first_unknown.is_some() && self.storable {
            // The second reading judges the sample; here it only counts.
            return self.leave(&sample);
        }
        match self.resolve(sample) {
            Ok((Found::Known(series), sample)) if is_first && self.first_unknown.is_none() => {
                self.append(series, sample, index)
            }
            Ok((Found::New(labels), sample)) if self.first_unknown.is_none() => match self.batch.closed() {
                Some(exceeded) => self.refuse(exceeded, &labels, sample, index),
                None => {
                    self.first_unknown = Some(index);
                    self.storable |= self.batch.admits(sample.timestamp);
                    self.batch.leave(sample.timestamp)
                }
            },
            Ok((_, sample)) if is_first => {
                self.first_unknown.get_or_insert(index);
                self.storable |= self.batch.admits(sample.timestamp);
                self.batch.leave(sample.timestamp)
            }
            Ok((Found::Known(series), sample)) => self.append(series, sample, index),
            Ok((Found::New(labels), sample)) => self.register(&labels, sample, index),
            Err(_) if is_first && self.first_unknown.is_some() => Ok(()),
            Err(fault) => {
                self.batch.refusals.add(index, fault.reason, || fault.message);
                Ok(())
            }
        }
    }

    fn append(&mut self, series: SeriesRef, sample: Sample, index: usize) -> Result<(), ApiError> {
        if self.batch.append(series, sample, index)? {
            self.indices.push(index);
        }
        Ok(())
    }

    fn leave(&mut self, sample: &LooseSample<'_>) -> Result<(), ApiError> {
        match sample {
            LooseSample::Object { timestamp, .. } => {
                time_of(timestamp).map_or(Ok(()), |time| self.batch.leave(time))
            }
            LooseSample::Other => Ok(()),
        }
    }

    /// Refuses the sample of a new series, of which none is taken at the moment; it counts like one that is stored.
    fn refuse(
        &mut self,
        exceeded: Exceeded,
        labels: &Labels,
        sample: Sample,
        index: usize,
    ) -> Result<(), ApiError> {
        if self.batch.admits(sample.timestamp) {
            self.batch.refuse_new(1, index, exceeded, || labels.to_string());
            return self.batch.leave(sample.timestamp);
        }
        self.batch.refuse_time(sample.timestamp, index);
        Ok(())
    }

    /// Registers a series for a sample that the window of time admits.
    fn register(&mut self, labels: &Labels, sample: Sample, index: usize) -> Result<(), ApiError> {
        if !self.batch.admits(sample.timestamp) {
            self.batch.refuse_time(sample.timestamp, index);
            return Ok(());
        }
        match self.batch.series(labels) {
            Ok(series) => self.append(series, sample, index),
            Err(error) => {
                self.batch.refusals.add(index, series_reason(&error), || error.to_string());
                Ok(())
            }
        }
    }

    fn resolve(&mut self, sample: LooseSample<'_>) -> Result<(Found, Sample), SampleFault> {
        let LooseSample::Object { metric, labels, timestamp, value, repeated } = sample else {
            return Err(SampleFault::new("invalid_sample", "a sample must be an object"));
        };
        if repeated {
            return Err(SampleFault::new("duplicate_field", "a field of the sample comes twice"));
        }
        let time = time_of(&timestamp)?;
        let value = value_of(&value)?;
        let metric = match &metric {
            Loose::Text(name) if !name.is_empty() => name.as_ref(),
            Loose::Absent | Loose::Text(_) => return Err(LabelFault::NoMetricName.into()),
            _ => return Err(SampleFault::new("invalid_metric_name", "the metric name must be a string")),
        };
        let mut pairs = self.pairs(metric, &labels)?;
        pairs.sort_unstable();
        Ok((self.series(&pairs)?, Sample::new(time, value)))
    }

    fn pairs<'p>(
        &self,
        metric: &'p str,
        labels: &'p LooseLabels<'_>,
    ) -> Result<Vec<(&'p str, &'p str)>, SampleFault> {
        let mut pairs = vec![(METRIC_NAME, metric)];
        let given: &[(Cow<'_, str>, Loose<'_>)] = match labels {
            LooseLabels::Absent => &[],
            LooseLabels::Pairs(given) => given,
            LooseLabels::Other => return Err(SampleFault::new("invalid_labels", "labels must be an object")),
        };
        let name_reserved = self.rules.reserved_labels.iter().any(|name| name == METRIC_NAME);
        for (name, value) in given {
            let Loose::Text(value) = value else {
                return Err(SampleFault::new("invalid_label_value", "the value of a label must be a string"));
            };
            if name == METRIC_NAME && name_reserved {
                return Err(LabelFault::Reserved { name: METRIC_NAME.into() }.into());
            }
            pairs.push((name, value));
        }
        Ok(pairs)
    }

    /// The series with these sorted pairs: recognised by its wire form, its labels checked if it is new.
    fn series(&mut self, pairs: &[(&str, &str)]) -> Result<Found, SampleFault> {
        self.wire.clear();
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            write_wire_pair(name, value, &mut self.wire);
        }
        if let Some(known) = self.batch.lookup(&self.wire) {
            return Ok(Found::Known(known));
        }
        let labels = Labels::from_pairs(pairs.iter().copied()).map_err(LabelFault::from)?;
        validation::check(&labels, self.rules)?;
        Ok(Found::New(labels))
    }
}

/// A series of the store, or the labels of one that is not there.
enum Found {
    Known(SeriesRef),
    New(Labels),
}

fn time_of(timestamp: &Loose<'_>) -> Result<Timestamp, SampleFault> {
    const RULE: &str = "the timestamp must be whole milliseconds since the Unix epoch or RFC 3339";
    match timestamp {
        Loose::Absent => Err(SampleFault::new("missing_timestamp", "the sample has no timestamp")),
        Loose::Integer(ms) => Ok(*ms),
        Loose::Text(text) => rfc3339::parse(text).ok_or(SampleFault::new("invalid_timestamp", RULE)),
        Loose::Number(ms) if ms.trunc() == *ms && ms.abs() < 9e15 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "a whole number that a double holds exactly")]
            Ok(*ms as Timestamp)
        }
        _ => Err(SampleFault::new("invalid_timestamp", RULE)),
    }
}

fn value_of(value: &Loose<'_>) -> Result<f64, SampleFault> {
    const RULE: &str = "the value must be a number, \"NaN\", \"+Inf\" or \"-Inf\"";
    match value {
        Loose::Absent => Err(SampleFault::new("missing_value", "the sample has no value")),
        Loose::Number(value) => Ok(*value),
        #[expect(clippy::cast_precision_loss, reason = "samples are doubles; a JSON number is read as one")]
        Loose::Integer(value) => Ok(*value as f64),
        Loose::Text(text) => match text.as_ref() {
            "NaN" => Ok(f64::NAN),
            "+Inf" | "Inf" => Ok(f64::INFINITY),
            "-Inf" => Ok(f64::NEG_INFINITY),
            _ => Err(SampleFault::new("invalid_value", RULE)),
        },
        Loose::Other => Err(SampleFault::new("invalid_value", RULE)),
    }
}

/// Why one sample is dropped.
struct SampleFault {
    reason: &'static str,
    message: String,
}

impl SampleFault {
    fn new(reason: &'static str, message: &str) -> Self {
        Self { reason, message: message.to_owned() }
    }
}

impl From<LabelFault> for SampleFault {
    fn from(fault: LabelFault) -> Self {
        Self { reason: fault.reason(), message: fault.to_string() }
    }
}

/// Reads the outline of a body into the sink; answers the `tenantId` that the body claims.
struct Document<'s, 'a> {
    sink: &'s mut PushSink<'a>,
}

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"samples\"")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let (mut tenant, mut samples_seen) = (None, false);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "samples" if samples_seen => return Err(de::Error::duplicate_field("samples")),
                "samples" => {
                    map.next_value_seed(SampleList { sink: &mut *self.sink })?;
                    samples_seen = true;
                }
                "tenantId" if tenant.is_some() => return Err(de::Error::duplicate_field("tenantId")),
                "tenantId" => tenant = Some(map.next_value::<String>()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if samples_seen { Ok(tenant) } else { Err(de::Error::missing_field("samples")) }
    }
}

struct SampleList<'s, 'a> {
    sink: &'s mut PushSink<'a>,
}

impl<'de> DeserializeSeed<'de> for SampleList<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for SampleList<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of samples")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while let Some(sample) = list.next_element::<LooseSample<'de>>()? {
            if let Err(stop) = self.sink.take(sample) {
                self.sink.stop = Some(stop);
                return Err(de::Error::custom("a limit is exceeded"));
            }
        }
        Ok(())
    }
}
