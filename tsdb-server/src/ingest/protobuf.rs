//! A borrowed reader of Protocol Buffers messages.
//!
//! It copies nothing, allocates nothing, and believes no length: every read is bounded by the message it is in.
//! Groups (wire types 3 and 4), field number 0 and varints longer than 64 bits are refused. Unknown fields are
//! skipped. Offsets in errors count from the start of the whole body.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use tsdb_core::Corruption;
use tsdb_core::error::CorruptionKind;

/// Reads the fields of one message within a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
    message: &'static str,
}

/// Number and wire type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) field: u64,
    pub(crate) wire: Wire,
}

/// How the value of a field is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

impl<'a> Reader<'a> {
    /// A reader over `body`, which is one message of the type `message`.
    pub(crate) const fn new(message: &'static str, body: &'a [u8]) -> Self {
        Self { body, at: 0, end: body.len(), message }
    }

    /// Offset of the next byte from the start of the body.
    pub(crate) const fn offset(&self) -> usize {
        self.at
    }

    /// The same message from `offset` of the body, which must lie within it.
    pub(crate) const fn at(mut self, offset: usize) -> Self {
        self.at = offset;
        self
    }

    /// Was the whole message read?
    #[inline]
    pub(crate) const fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    /// The bytes of the message that have not been read.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.body.get(self.at..self.end).unwrap_or_default()
    }

    /// The bytes of the body from `start` up to the reader.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.body.get(start..self.at).unwrap_or_default()
    }

    /// The tag of the next field; `None` at the end of the message.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<Option<Tag>, Corruption> {
        if self.is_at_end() {
            return Ok(None);
        }
        let start = self.at;
        let key = self.varint("a tag")?;
        let wire = match key & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Bytes,
            5 => Wire::Fixed32,
            other => return Err(self.invalid(start, "a wire type", other)),
        };
        match key >> 3 {
            0 => Err(self.invalid(start, "a field number", 0)),
            field => Ok(Some(Tag { field, wire })),
        }
    }

    /// The message of type `message` in the field that `tag` announced.
    #[inline]
    pub(crate) fn message(&mut self, tag: Tag, message: &'static str) -> Result<Self, Corruption> {
        self.expect(tag, Wire::Bytes, message)?;
        let end = self.length(message)?;
        let inner = Self { body: self.body, at: self.at, end, message };
        self.at = end;
        Ok(inner)
    }

    /// The message of up to 16 383 bytes in a field whose tag is the one byte `tag`, if that is what stands here.
    #[inline]
    pub(crate) fn short_message(&mut self, tag: u8, message: &'static str) -> Option<Self> {
        let (before, length) = match *self.rest() {
            [found, length @ 0..0x80, ..] if found == tag => (2, usize::from(length)),
            [found, low, high @ 0..0x80, ..] if found == tag => {
                (3, usize::from(low & 0x7f) | usize::from(high) << 7)
            }
            _ => return None,
        };
        let at = self.at.checked_add(before)?;
        let end = at.checked_add(length).filter(|end| *end <= self.end)?;
        self.at = end;
        Some(Self { body: self.body, at, end, message })
    }

    /// The bytes or text in the field that `tag` announced.
    #[inline]
    pub(crate) fn bytes(&mut self, tag: Tag, field: &'static str) -> Result<&'a [u8], Corruption> {
        Ok(self.message(tag, field)?.rest())
    }

    /// The 64-bit varint in the field that `tag` announced.
    #[inline]
    pub(crate) fn int(&mut self, tag: Tag, field: &'static str) -> Result<u64, Corruption> {
        self.expect(tag, Wire::Varint, field)?;
        self.varint(field)
    }

    /// The 64-bit zigzag varint in the field that `tag` announced.
    pub(crate) fn sint(&mut self, tag: Tag, field: &'static str) -> Result<i64, Corruption> {
        self.int(tag, field).map(unzigzag)
    }

    /// Calls `take` with each varint of a repeated field, of which `tag` announced a single one or a packed list.
    ///
    /// # Errors
    /// Those of the bytes and of `take`.
    pub(crate) fn ints<E: From<Corruption>>(
        &mut self,
        tag: Tag,
        field: &'static str,
        mut take: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        if tag.wire != Wire::Bytes {
            return take(self.int(tag, field)?);
        }
        let mut list = self.message(tag, field)?;
        while !list.rest().is_empty() {
            take(list.varint(field)?)?;
        }
        Ok(())
    }

    /// Calls `take` with each double of a repeated field, likewise.
    ///
    /// # Errors
    /// Those of the bytes and of `take`.
    pub(crate) fn doubles<E: From<Corruption>>(
        &mut self,
        tag: Tag,
        field: &'static str,
        mut take: impl FnMut(f64) -> Result<(), E>,
    ) -> Result<(), E> {
        if tag.wire != Wire::Bytes {
            return take(self.double(tag, field)?);
        }
        let mut list = self.message(tag, field)?;
        let one = Tag { field: tag.field, wire: Wire::Fixed64 };
        while !list.rest().is_empty() {
            take(list.double(one, field)?)?;
        }
        Ok(())
    }

    /// The double in the field that `tag` announced.
    #[inline]
    pub(crate) fn double(&mut self, tag: Tag, field: &'static str) -> Result<f64, Corruption> {
        self.expect(tag, Wire::Fixed64, field)?;
        let Some((bytes, _)) = self.rest().split_first_chunk::<8>() else {
            return Err(self.truncated(field));
        };
        self.at = self.at.saturating_add(8);
        Ok(f64::from_bits(u64::from_le_bytes(*bytes)))
    }

    /// Passes over a field of up to 127 bytes whose tag is the one byte `tag`. `false`, and nothing is passed over,
    /// if something else stands here. Only for tags of length-delimited fields.
    #[inline]
    pub(crate) fn skip_short(&mut self, tag: u8) -> bool {
        match *self.rest() {
            [found, length @ 0..0x80, ref behind @ ..]
                if found == tag && behind.len() >= usize::from(length) =>
            {
                self.at = self.at.saturating_add(2).saturating_add(usize::from(length));
                true
            }
            _ => false,
        }
    }

    /// Reads a field of the number 2 that holds a double as its field 1 and a varint of up to 8 bytes as its field
    /// 2, in this order and nothing else: the form in which every encoder writes a sample. `None`, and nothing is
    /// read, if anything else stands here.
    #[inline]
    pub(crate) fn plain_sample(&mut self) -> Option<(f64, u64)> {
        let (&[0x12, length, 0x09, v0, v1, v2, v3, v4, v5, v6, v7, 0x10], _) =
            self.rest().split_first_chunk()?
        else {
            return None;
        };
        let start = self.at.checked_add(12)?;
        let (varint, len) = short_varint(self.body.get(start..)?)?;
        let next = start.checked_add(len)?;
        if usize::from(length) != len.checked_add(10)? || next > self.end {
            return None;
        }
        self.at = next;
        Some((f64::from_bits(u64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7])), varint))
    }

    /// Is the field that `tag` announced length-delimited?
    #[inline]
    pub(crate) fn expect_bytes(&self, tag: Tag, field: &'static str) -> Result<(), Corruption> {
        self.expect(tag, Wire::Bytes, field)
    }

    /// Passes over the field that `tag` announced.
    #[inline]
    pub(crate) fn skip(&mut self, tag: Tag) -> Result<(), Corruption> {
        const UNKNOWN: &str = "a skipped field";
        match tag.wire {
            Wire::Varint => self.varint(UNKNOWN).map(|_| ()),
            Wire::Fixed64 => self.advance(8, UNKNOWN),
            Wire::Fixed32 => self.advance(4, UNKNOWN),
            Wire::Bytes => {
                self.at = self.length(UNKNOWN)?;
                Ok(())
            }
        }
    }

    /// Reads a length and answers where the bytes of that length end.
    #[inline]
    fn length(&mut self, field: &'static str) -> Result<usize, Corruption> {
        let start = self.at;
        let length = self.varint(field)?;
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        match end {
            Some(end) if end <= self.end => Ok(end),
            _ => {
                self.at = start;
                Err(self.truncated(field))
            }
        }
    }

    fn advance(&mut self, bytes: usize, field: &'static str) -> Result<(), Corruption> {
        match self.at.checked_add(bytes) {
            Some(next) if next <= self.end => {
                self.at = next;
                Ok(())
            }
            _ => Err(self.truncated(field)),
        }
    }

    #[inline]
    fn varint(&mut self, field: &'static str) -> Result<u64, Corruption> {
        match *self.rest() {
            [byte @ 0..0x80, ..] => {
                self.at = self.at.saturating_add(1);
                Ok(u64::from(byte))
            }
            [low, high @ 0..0x80, ..] => {
                self.at = self.at.saturating_add(2);
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(field),
        }
    }

    fn long_varint(&mut self, field: &'static str) -> Result<u64, Corruption> {
        let start = self.at;
        let mut value = 0u64;
        for (shift, byte) in (0u32..).step_by(7).zip(self.rest()) {
            let digit = u64::from(byte & 0x7f);
            // The tenth byte holds the 64th bit and nothing else.
            if shift > 63 || (shift == 63 && digit > 1) {
                return Err(
                    self.fault(start, CorruptionKind::Rule { rule: "a varint is longer than 64 bits" })
                );
            }
            value |= digit.wrapping_shl(shift);
            self.at = self.at.saturating_add(1);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        self.at = start;
        Err(self.truncated(field))
    }

    #[inline]
    fn expect(&self, tag: Tag, wire: Wire, field: &'static str) -> Result<(), Corruption> {
        if tag.wire == wire {
            return Ok(());
        }
        let message = format!("{field} has the wire type {:?}, expected {wire:?}", tag.wire);
        Err(self.fault(self.at, CorruptionKind::Layer { message }))
    }

    fn truncated(&self, field: &'static str) -> Corruption {
        self.fault(self.at, CorruptionKind::Truncated { field })
    }

    /// The description of an impossible value at `offset` of the body.
    pub(crate) fn invalid(&self, offset: usize, field: &'static str, value: u64) -> Corruption {
        self.fault(offset, CorruptionKind::Invalid { field, value })
    }

    /// The description of a fault at `offset` of the body.
    #[cold]
    pub(crate) fn fault(&self, offset: usize, kind: CorruptionKind) -> Corruption {
        Corruption::new(self.message, offset, kind)
    }
}

/// The signed number that zigzag writes as `value`.
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

/// A varint of up to 8 bytes and its length, if 8 bytes are there to look at. All bytes are looked at at once: the
/// first without the continuation bit ends the number, and three shifts bring the groups of 7 bits together.
#[inline]
fn short_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    const CONTINUES: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(*bytes.first_chunk()?);
    let ends = !word & CONTINUES;
    let len_bits = ends.trailing_zeros().checked_add(1).filter(|bits| *bits <= 64)?;
    let groups = word & !CONTINUES & (u64::MAX >> 64u32.saturating_sub(len_bits));
    let pairs = (groups & 0x007f_007f_007f_007f) | ((groups & 0x7f00_7f00_7f00_7f00) >> 1);
    let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
    let value = (fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4);
    Some((value, usize::try_from(len_bits / 8).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_the_lowest_bit() {
        for (wire, value) in
            [(0, 0), (1, -1), (2, 1), (3, -2), (u64::MAX, i64::MIN), (u64::MAX - 1, i64::MAX)]
        {
            assert_eq!(unzigzag(wire), value);
        }
    }

    fn varint(mut rest: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while rest >= 0x80 {
            bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        bytes.push(u8::try_from(rest).unwrap());
        bytes
    }

    #[test]
    fn short_messages_are_read_like_long_ones() {
        for len in [0, 1, 0x7f, 0x80, 0x81, 0x3fff, 0x4000] {
            let body = [vec![0x0a], varint(len as u64), vec![7; len]].concat();
            let (mut short, mut long) = (Reader::new("test", &body), Reader::new("test", &body));
            let tag = long.tag().unwrap().unwrap();
            let inner = long.message(tag, "inner").unwrap();
            let found = short.short_message(0x0a, "inner");
            assert_eq!(found.map(|found| found.rest()), (len < 0x4000).then_some(inner.rest()), "{len}");
            assert_eq!(short.is_at_end(), len < 0x4000);
            assert!(Reader::new("test", &body).short_message(0x12, "inner").is_none());
            let cut = body.split_last().unwrap().1;
            assert!(Reader::new("test", cut).short_message(0x0a, "inner").is_none(), "{len}");
        }
    }

    #[test]
    fn short_varints_are_read_like_long_ones() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift).wrapping_sub(1), u64::MAX >> shift] {
                let mut bytes = varint(value);
                let len = bytes.len();
                bytes.extend([0xff; 8]);
                let expected = (len <= 8).then_some((value, len));
                assert_eq!(short_varint(&bytes), expected, "{value:#x}");
                assert_eq!(Reader::new("test", &bytes).long_varint("a number"), Ok(value), "{value:#x}");
                assert_eq!(Reader::new("test", &bytes).varint("a number"), Ok(value), "{value:#x}");
            }
        }
        assert_eq!(short_varint(&[1; 7]), None, "fewer than 8 bytes are left to the slow way");
    }
}
