//! The table of all names and values of labels in an index. Source: Prometheus `tsdb/docs/format/index.md`.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::collections::BTreeSet;
use tsdb_core::Corruption;
use tsdb_core::bytes::Reader;
use tsdb_core::error::CorruptionKind;

/// The symbols of an index by their numbers.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    text: String,
    /// Where in `text` each symbol ends.
    ends: Vec<u32>,
    /// Symbols that are not UTF-8.
    unreadable: BTreeSet<u32>,
}

impl Symbols {
    /// Reads the table from what its length and its checksum enclose.
    pub(super) fn read(content: &[u8]) -> Result<Self, Corruption> {
        let mut reader = Reader::new("symbol table", content);
        let count = reader.u32("number of symbols")?.swap_bytes();
        if count as usize > reader.remaining() {
            return Err(reader.invalid("number of symbols", count.into()));
        }
        let mut symbols = Self { text: String::with_capacity(content.len()), ..Self::default() };
        symbols.ends.reserve_exact(count as usize);
        for number in 0..count {
            match str::from_utf8(reader.blob("symbol")?) {
                Ok(symbol) => symbols.text.push_str(symbol),
                Err(_) => drop(symbols.unreadable.insert(number)),
            }
            let end = u32::try_from(symbols.text.len());
            symbols.ends.push(end.map_err(|_| reader.invalid("symbol", number.into()))?);
        }
        reader.finish()?;
        Ok(symbols)
    }

    /// Symbol `number`.
    pub(super) fn symbol(&self, number: u64) -> Result<&str, CorruptionKind> {
        let invalid = CorruptionKind::Invalid { field: "number of a symbol", value: number };
        let Ok(index) = u32::try_from(number) else { return Err(invalid) };
        if self.unreadable.contains(&index) {
            return Err(CorruptionKind::Utf8 { field: "symbol" });
        }
        let end = |index: Option<usize>| index.and_then(|index| self.ends.get(index)).copied();
        let start = (index as usize).checked_sub(1).map_or(Some(0), |before| end(Some(before)));
        let text = start.zip(end(Some(index as usize)));
        text.and_then(|(start, end)| self.text.get(start as usize..end as usize)).ok_or(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_found_by_number() {
        let symbols = Symbols::read(&[0, 0, 0, 4, 0, 1, b'a', 2, 0xff, 0xfe, 2, b'b', b'c']).unwrap();
        assert_eq!(symbols.symbol(0), Ok(""));
        assert_eq!((symbols.symbol(1), symbols.symbol(3)), (Ok("a"), Ok("bc")));
        assert_eq!(symbols.symbol(2), Err(CorruptionKind::Utf8 { field: "symbol" }));
        assert!(symbols.symbol(4).is_err() && symbols.symbol(u64::MAX).is_err());
    }

    #[test]
    fn a_table_that_lies_about_its_size_is_refused() {
        for table in [&[0, 0, 0][..], &[0, 0, 0, 2, 1, b'a'], &[0xff; 4], &[0, 0, 0, 1, 1, b'a', 0]] {
            assert!(Symbols::read(table).is_err(), "{table:?}");
        }
    }
}
