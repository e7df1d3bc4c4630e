//! Names that look like others and are not: `http_requests` with a Cyrillic letter in it is another metric, of which no
//! dashboard knows. Such names are stored, counted and told of.
//!
//! The letters are those of Cyrillic, Greek and the full-width forms that look like ASCII in most fonts; the full table of
//! confusable characters (Unicode Technical Standard 39) knows many more, which senders do not type by mistake.

use tsdb_core::{Labels, METRIC_NAME};

/// Letters that look like ASCII ones, and these.
const CONFUSABLE: [(char, char); 46] = [
    ('\u{430}', 'a'),
    ('\u{435}', 'e'),
    ('\u{43e}', 'o'),
    ('\u{440}', 'p'),
    ('\u{441}', 'c'),
    ('\u{443}', 'y'),
    ('\u{445}', 'x'),
    ('\u{455}', 's'),
    ('\u{456}', 'i'),
    ('\u{458}', 'j'),
    ('\u{501}', 'd'),
    ('\u{51b}', 'q'),
    ('\u{51d}', 'w'),
    ('\u{4bb}', 'h'),
    ('\u{4cf}', 'l'),
    ('\u{410}', 'A'),
    ('\u{412}', 'B'),
    ('\u{415}', 'E'),
    ('\u{41a}', 'K'),
    ('\u{41c}', 'M'),
    ('\u{41d}', 'H'),
    ('\u{41e}', 'O'),
    ('\u{420}', 'P'),
    ('\u{421}', 'C'),
    ('\u{422}', 'T'),
    ('\u{425}', 'X'),
    ('\u{405}', 'S'),
    ('\u{406}', 'I'),
    ('\u{408}', 'J'),
    ('\u{3b1}', 'a'),
    ('\u{3bf}', 'o'),
    ('\u{3bd}', 'v'),
    ('\u{3c1}', 'p'),
    ('\u{3b9}', 'i'),
    ('\u{391}', 'A'),
    ('\u{392}', 'B'),
    ('\u{395}', 'E'),
    ('\u{396}', 'Z'),
    ('\u{397}', 'H'),
    ('\u{399}', 'I'),
    ('\u{39a}', 'K'),
    ('\u{39c}', 'M'),
    ('\u{39d}', 'N'),
    ('\u{39f}', 'O'),
    ('\u{3a1}', 'P'),
    ('\u{3a4}', 'T'),
];

/// What the first name in `labels` that looks like an ASCII one looks like: the name of the metric or of a label.
pub(crate) fn look_alike(labels: &Labels) -> Option<(&str, String)> {
    if labels.is_ascii() {
        return None;
    }
    labels.iter().find_map(|(name, value)| {
        let name = if name == METRIC_NAME { value } else { name };
        Some((name, ascii(name)?))
    })
}

/// The ASCII name that `name`, which is none, looks like.
fn ascii(name: &str) -> Option<String> {
    if name.is_ascii() {
        return None;
    }
    let seen = |letter: char| match letter {
        letter if letter.is_ascii() => Some(letter),
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter).saturating_sub(0xfee0)),
        _ => CONFUSABLE.iter().find(|(like, _)| *like == letter).map(|(_, ascii)| *ascii),
    };
    name.chars().map(seen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_ascii_and_are_not_are_found() {
        for (name, expected) in [
            ("http_requests", None),
            ("http_r\u{435}quests", Some("http_requests")),
            ("\u{ff48}ttp", Some("http")),
            ("temperatur_k\u{fc}che", None),
            ("\u{441}\u{43a}\u{43e}\u{440}\u{43e}\u{441}\u{442}\u{44c}", None),
            ("", None),
        ] {
            assert_eq!(ascii(name).as_deref(), expected, "{name}");
        }
        let labels = Labels::from_pairs([("__name__", "m"), ("j\u{43e}b", "\u{430}")]).unwrap();
        assert_eq!(look_alike(&labels), Some(("j\u{43e}b", "job".to_owned())));
        let values = Labels::from_pairs([("__name__", "m"), ("job", "\u{430}")]).unwrap();
        assert_eq!(look_alike(&values), None, "values are texts of people");
    }
}
