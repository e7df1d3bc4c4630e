//! The bounds-checked cursor. It promises that a failed read leaves it where it was and says which field failed.

use super::{MAX_VARINT_BYTES, unzigzag};
use crate::error::{Corruption, CorruptionKind};
use core::str;

/// A cursor over the bytes of one structure. Every method takes the name of the field it reads, for the error.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    section: &'static str,
    bytes: &'a [u8],
    at: usize,
}

/// Methods for fixed-width little-endian numbers.
macro_rules! fixed_width {
    ($($name:ident: $type:ty, $doc:literal;)*) => {$(
        #[doc = concat!("Reads ", $doc, ".")]
        ///
        /// # Errors
        /// The input ends inside the field.
        #[inline]
        pub fn $name(&mut self, field: &'static str) -> Result<$type, Corruption> {
            Ok(<$type>::from_le_bytes(self.array(field)?))
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`. `section` names the structure in errors, such as `"symbol table"`.
    pub const fn new(section: &'static str, bytes: &'a [u8]) -> Self {
        Self { section, bytes, at: 0 }
    }

    fixed_width! {
        u8: u8, "one byte";
        u16: u16, "two bytes as an unsigned number";
        u32: u32, "four bytes as an unsigned number";
        u64: u64, "eight bytes as an unsigned number";
        i64: i64, "eight bytes as a signed number";
    }

    /// Reads the eight bytes of an `f64`'s bit pattern.
    ///
    /// # Errors
    /// The input ends inside the field.
    #[inline]
    pub fn f64(&mut self, field: &'static str) -> Result<f64, Corruption> {
        Ok(f64::from_bits(self.u64(field)?))
    }

    /// Reads an unsigned varint.
    ///
    /// # Errors
    /// The input ends inside the field, or the number is longer than its shortest form or than 64 bits.
    pub fn varint(&mut self, field: &'static str) -> Result<u64, Corruption> {
        let mut value = 0_u64;
        for (byte, index) in self.unread().iter().zip(0_u32..) {
            let bits = u64::from(byte & 0x7f);
            let shift = index.wrapping_mul(7);
            let shifted = bits.wrapping_shl(shift);
            // The tenth byte has room for one bit and must be the last.
            let too_long = (shift >= 63 && *byte > 1) || (*byte == 0 && index > 0);
            if too_long {
                return Err(self.invalid(field, u64::from(*byte)));
            }
            value |= shifted;
            if *byte < 0x80 {
                self.advance((index as usize).saturating_add(1));
                return Ok(value);
            }
        }
        debug_assert!(self.remaining() < MAX_VARINT_BYTES, "ten bytes are the end or too long");
        Err(self.truncated(field))
    }

    /// Reads a signed number that was written as a zigzag varint.
    ///
    /// # Errors
    /// As for [`varint`](Self::varint).
    #[inline]
    pub fn zigzag(&mut self, field: &'static str) -> Result<i64, Corruption> {
        self.varint(field).map(unzigzag)
    }

    /// Reads a varint that counts things of which each takes at least `item_bytes` of what remains: a count that
    /// cannot be true is refused before anyone allocates for it.
    ///
    /// # Errors
    /// As for [`varint`](Self::varint), or the count does not fit what remains.
    pub fn count(&mut self, item_bytes: usize, field: &'static str) -> Result<usize, Corruption> {
        let before = self.at;
        let value = self.varint(field)?;
        match usize::try_from(value) {
            Ok(count) if count.saturating_mul(item_bytes) <= self.remaining() => Ok(count),
            _ => {
                self.at = before;
                Err(self.invalid(field, value))
            }
        }
    }

    /// Reads the next `len` bytes.
    ///
    /// # Errors
    /// Fewer bytes remain.
    #[inline]
    pub fn bytes(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], Corruption> {
        let bytes = self.unread().get(..len).ok_or_else(|| self.truncated(field))?;
        self.advance(len);
        Ok(bytes)
    }

    /// Reads a varint length and that many bytes.
    ///
    /// # Errors
    /// Fewer bytes remain than the length says, or the length is no varint.
    pub fn blob(&mut self, field: &'static str) -> Result<&'a [u8], Corruption> {
        let before = self.at;
        let len = self.varint(field)?;
        let blob = usize::try_from(len).ok().and_then(|len| self.unread().get(..len));
        match blob {
            Some(blob) => {
                self.advance(blob.len());
                Ok(blob)
            }
            None => {
                self.at = before;
                Err(self.truncated(field))
            }
        }
    }

    /// Reads a varint length and that many bytes of UTF-8.
    ///
    /// # Errors
    /// As for [`blob`](Self::blob), or the bytes are not UTF-8.
    pub fn str(&mut self, field: &'static str) -> Result<&'a str, Corruption> {
        let before = self.at;
        let blob = self.blob(field)?;
        str::from_utf8(blob).map_err(|_| {
            self.at = before;
            self.corruption(CorruptionKind::Utf8 { field })
        })
    }

    /// Bytes not read yet.
    #[inline]
    pub const fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// Has everything been read?
    pub const fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// Distance of the cursor from the start of the structure, in bytes.
    #[inline]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// What has not been read yet; the cursor stays.
    #[inline]
    pub fn unread(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Bytes are left over.
    pub fn finish(self) -> Result<(), Corruption> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(self.corruption(CorruptionKind::TrailingBytes { count })),
        }
    }

    /// Damage of `kind` at the cursor.
    #[cold]
    pub fn corruption(&self, kind: CorruptionKind) -> Corruption {
        Corruption::new(self.section, self.at, kind)
    }

    /// Damage at the cursor: `field` holds a value that no writer produces.
    #[cold]
    pub fn invalid(&self, field: &'static str, value: u64) -> Corruption {
        self.corruption(CorruptionKind::Invalid { field, value })
    }

    #[cold]
    fn truncated(&self, field: &'static str) -> Corruption {
        self.corruption(CorruptionKind::Truncated { field })
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Corruption> {
        let array = self.unread().first_chunk::<N>().ok_or_else(|| self.truncated(field))?;
        self.advance(N);
        Ok(*array)
    }

    /// Moves on by bytes that were seen to exist.
    #[inline]
    fn advance(&mut self, len: usize) {
        self.at = self.at.saturating_add(len).min(self.bytes.len());
    }
}
