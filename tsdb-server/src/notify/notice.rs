//! What receivers are told of an alert: its newest state, whole, so that one notice can stand for all before it.

use tsdb_core::{Labels, Timestamp};

/// An alert as it is sent. Times are in ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// What the alert is known by, labels of the server included.
    pub(crate) labels: Labels,
    /// Texts for people, by name.
    pub(crate) annotations: Vec<(String, String)>,
    /// Where the expression of its rule can be looked at.
    pub(crate) generator_url: String,
    /// Since when it fires.
    pub(crate) starts_at: Timestamp,
    /// When it ended or, while it fires, until when that is to be believed if nothing more is heard.
    pub(crate) ends_at: Timestamp,
    /// Is it over?
    pub(crate) resolved: bool,
    /// The evaluation that tells so.
    pub(crate) told_at: Timestamp,
}

impl Notice {
    /// How long a notice of a firing alert is to be believed, ms.
    pub(crate) fn validity_ms(&self) -> i64 {
        self.ends_at.saturating_sub(self.told_at).max(0)
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let annotations = self.annotations.iter().map(|(name, text)| name.len() + text.len() + 48);
        self.labels.encoded_len() + annotations.sum::<usize>() + self.generator_url.len() + 256
    }

    /// The number that Alertmanager knows a set of labels by: FNV-1a of names and values in order, with a byte 255
    /// behind each.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for (name, value) in self.labels.iter() {
            for byte in name.bytes().chain([255]).chain(value.bytes()).chain([255]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        hash
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A notice of the alert `name`, told at `at`.
    pub(crate) fn notice(name: &str, resolved: bool, at: Timestamp) -> Notice {
        Notice {
            labels: Labels::from_pairs([("alertname", name), ("severity", "page")]).unwrap(),
            annotations: vec![("summary".to_owned(), format!("{name} is wrong"))],
            generator_url: "http://metrics/graph".to_owned(),
            starts_at: 1_000,
            ends_at: if resolved { at } else { at + 240_000 },
            resolved,
            told_at: at,
        }
    }

    #[test]
    fn the_fingerprint_depends_on_names_values_and_their_borders() {
        let of = |pairs: &[(&str, &str)]| {
            let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
            Notice { labels, ..notice("x", false, 0) }.fingerprint()
        };
        assert_eq!(of(&[]), 0xcbf2_9ce4_8422_2325, "FNV's offset for no labels at all");
        assert_ne!(of(&[("a", "bc")]), of(&[("ab", "c")]));
        assert_ne!(of(&[("a", "b")]), of(&[("a", "c")]));
    }
}
