//! The one description of damaged bytes, shared by every decoder of the family.

use alloc::string::String;

/// Bytes that do not decode: which structure, where in it, and what is wrong.
///
/// Decoders return this instead of panicking; whoever opened the file adds its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{section} is damaged at byte {offset}: {kind}")]
pub struct Corruption {
    /// The structure that was being read, such as `"xor chunk"` or `"symbol table"`.
    pub section: &'static str,
    /// Offset of the offending field from the start of the section, in bytes.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: CorruptionKind,
}

/// What is wrong with damaged bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CorruptionKind {
    /// The input ends inside a field.
    #[error("the input ends inside {field}")]
    Truncated {
        /// Name of the field.
        field: &'static str,
    },
    /// A stored checksum differs from the computed one.
    #[error("checksum mismatch: stored {stored:#x}, computed {computed:#x}")]
    Checksum {
        /// The checksum found in the bytes.
        stored: u64,
        /// The checksum of the bytes.
        computed: u64,
    },
    /// A field holds a value that no writer produces.
    #[error("{field} has the impossible value {value}")]
    Invalid {
        /// Name of the field.
        field: &'static str,
        /// The value found, as far as it fits.
        value: u64,
    },
    /// A version, magic or tag that this reader does not know.
    #[error("{field} {value:#x} is unknown to this version")]
    Unknown {
        /// Name of the field.
        field: &'static str,
        /// The value found.
        value: u64,
    },
    /// Bytes follow where the structure should end.
    #[error("{count} bytes follow the end")]
    TrailingBytes {
        /// How many bytes are left over.
        count: usize,
    },
    /// Text that is not UTF-8.
    #[error("{field} is not valid UTF-8")]
    Utf8 {
        /// Name of the field.
        field: &'static str,
    },
    /// A rule between several fields is broken, such as an order or a sum.
    #[error("{rule}")]
    Rule {
        /// The broken rule as a sentence.
        rule: &'static str,
    },
    /// Bytes that the disk did not give back.
    #[error("it cannot be read: {message}")]
    Unreadable {
        /// What the operating system said.
        message: String,
    },
    /// A failure of a layer below, such as a decompressor.
    #[error("{message}")]
    Layer {
        /// What that layer said.
        message: String,
    },
}

impl Corruption {
    /// May the bytes be read later? Those that were read and are wrong stay as they are.
    pub const fn may_pass(&self) -> bool {
        matches!(self.kind, CorruptionKind::Unreadable { .. })
    }

    /// Describes damage of `kind` at `offset` of `section`.
    pub fn new(section: &'static str, offset: usize, kind: CorruptionKind) -> Self {
        Self { section, offset, kind }
    }
}
