//! JSON values of any type: what a push sample may turn out to hold.
//!
//! Reading strictly typed fields would make one wrong field fail the whole body. These types take whatever is well
//! formed, borrow texts from the body where they can, and leave the judgement to the caller.

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A scalar, or something that is none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Loose<'a> {
    Absent,
    Integer(i64),
    Number(f64),
    Text(Cow<'a, str>),
    Other,
}

/// The value of `labels`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LooseLabels<'a> {
    Absent,
    Pairs(Vec<(Cow<'a, str>, Loose<'a>)>),
    Other,
}

/// One element of `samples`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LooseSample<'a> {
    Object {
        metric: Loose<'a>,
        labels: LooseLabels<'a>,
        timestamp: Loose<'a>,
        value: Loose<'a>,
        /// Did one of them come twice, under either of its names?
        repeated: bool,
    },
    Other,
}

/// Implements the methods of a visitor that swallow everything but maps.
macro_rules! only_maps {
    ($other:expr) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok($other)
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok($other)
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok($other)
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok($other)
        }
        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Ok($other)
        }
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok($other)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other)
        }
    };
}

impl<'de> Deserialize<'de> for Loose<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Loose::Other)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Loose::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "a number beyond i64 is read as the double it names")]
        Ok(i64::try_from(value).map_or(Loose::Number(value as f64), Loose::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Loose::Number(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Loose::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Loose::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Loose::Other)
    }
}

/// A text, borrowed from the body unless it holds escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Loose::deserialize(deserializer)? {
            Loose::Text(text) => Ok(Self(text)),
            _ => Err(Error::custom("a key must be a string")),
        }
    }
}

impl<'de> Deserialize<'de> for LooseLabels<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LabelsVisitor)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = LooseLabels<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Key(name), value)) = map.next_entry::<Key<'de>, Loose<'de>>()? {
            pairs.push((name, value));
        }
        Ok(LooseLabels::Pairs(pairs))
    }

    only_maps!(LooseLabels::Other);
}

impl<'de> Deserialize<'de> for LooseSample<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SampleVisitor)
    }
}

struct SampleVisitor;

impl<'de> Visitor<'de> for SampleVisitor {
    type Value = LooseSample<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sample")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut metric, mut timestamp, mut value) = (Loose::Absent, Loose::Absent, Loose::Absent);
        let (mut labels, mut repeated) = (LooseLabels::Absent, false);
        while let Some(Key(key)) = map.next_key()? {
            let slot = match key.as_ref() {
                "metric" | "name" => &mut metric,
                "timestampMs" | "timestamp" => &mut timestamp,
                "value" => &mut value,
                "labels" => {
                    repeated |= labels != LooseLabels::Absent;
                    labels = map.next_value()?;
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            repeated |= *slot != Loose::Absent;
            *slot = map.next_value()?;
        }
        Ok(LooseSample::Object { metric, labels, timestamp, value, repeated })
    }

    only_maps!(LooseSample::Other);
}
