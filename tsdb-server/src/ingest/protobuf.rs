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
        if self.at >= self.end {
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
        match self.body.get(self.at) {
            Some(byte) if *byte < 0x80 && self.at < self.end => {
                self.at = self.at.saturating_add(1);
                Ok(u64::from(*byte))
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

    fn invalid(&self, offset: usize, field: &'static str, value: u64) -> Corruption {
        self.fault(offset, CorruptionKind::Invalid { field, value })
    }

    #[cold]
    fn fault(&self, offset: usize, kind: CorruptionKind) -> Corruption {
        Corruption::new(self.message, offset, kind)
    }
}
