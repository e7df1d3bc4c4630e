//! Content encodings of request bodies, decompressed under a limit.
//!
//! A body is never trusted about its size: snappy's declared length is compared with the limit before any memory
//! is taken, gzip and zstd stop at the first byte past the limit, zstd windows are bounded.

use crate::error::ApiError;
use crate::limits::Limit;
use std::io::Read;

/// A `Content-Encoding` that this server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// The bytes as they are.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Snappy: the block format, or the framing format if the body starts with its stream identifier.
    Snappy,
}

impl Encoding {
    /// The encoding that the header value `name` names.
    pub fn from_header(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            "snappy" => Some(Self::Snappy),
            _ => None,
        }
    }
}

/// Why a body was not decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// The body is larger than the limit.
    #[error("the decompressed body has more than {allowed} bytes, which max_decoded_bytes allows")]
    TooLarge {
        /// What the limit allows.
        allowed: u64,
    },
    /// The body is not what its encoding says.
    #[error("the body is no valid {encoding}: {message}")]
    Damaged {
        /// The encoding.
        encoding: &'static str,
        /// What the decompressor said.
        message: String,
    },
}

impl From<EncodingError> for ApiError {
    fn from(error: EncodingError) -> Self {
        match error {
            EncodingError::TooLarge { .. } => Self::too_large(error.to_string()),
            EncodingError::Damaged { .. } => Self::bad_data(error.to_string()),
        }
    }
}

/// The decoded form of `body`: `body` itself or the beginning of `buffer`, which is reused and keeps its memory.
///
/// # Errors
/// A body that is damaged or larger than `limit` when decompressed.
pub fn decode<'a>(
    encoding: Encoding,
    body: &'a [u8],
    limit: Limit,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], EncodingError> {
    match encoding {
        Encoding::Identity => match limit.exceeded_by(body.len()) {
            Some(allowed) => Err(EncodingError::TooLarge { allowed }),
            None => Ok(body),
        },
        Encoding::Gzip => read("gzip", flate2::read::MultiGzDecoder::new(body), limit, buffer),
        Encoding::Zstd => {
            let fault = |e: std::io::Error| damaged("zstd", &e.to_string());
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(fault)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(fault)?;
            read("zstd", decoder, limit, buffer)
        }
        Encoding::Snappy if body.starts_with(SNAPPY_STREAM_IDENTIFIER) => {
            read("snappy", snap::read::FrameDecoder::new(body), limit, buffer)
        }
        Encoding::Snappy => snappy_block(body, limit, buffer),
    }
}

/// First chunk of every stream in snappy's framing format.
const SNAPPY_STREAM_IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// Windows up to 8 MiB, which RFC 8878 asks every decoder to support.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

/// A block of snappy cannot expand its input by more than this: a copy element of 3 bytes yields 64.
const MAX_SNAPPY_RATIO: usize = 22;

fn snappy_block<'a>(body: &[u8], limit: Limit, buffer: &'a mut Vec<u8>) -> Result<&'a [u8], EncodingError> {
    let declared = snap::raw::decompress_len(body).map_err(|e| damaged("snappy", &e.to_string()))?;
    if let Some(allowed) = limit.exceeded_by(declared) {
        return Err(EncodingError::TooLarge { allowed });
    }
    if declared > body.len().saturating_mul(MAX_SNAPPY_RATIO) {
        let message = format!("{} bytes cannot hold the declared {declared}", body.len());
        return Err(damaged("snappy", &message));
    }
    if buffer.len() < declared {
        buffer.resize(declared, 0);
    }
    let written =
        snap::raw::Decoder::new().decompress(body, buffer).map_err(|e| damaged("snappy", &e.to_string()))?;
    Ok(buffer.get(..written).unwrap_or_default())
}

fn read<'a>(
    encoding: &'static str,
    decoder: impl Read,
    limit: Limit,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], EncodingError> {
    buffer.clear();
    let cap = limit.get().unwrap_or(u64::MAX);
    decoder.take(cap.saturating_add(1)).read_to_end(buffer).map_err(|e| damaged(encoding, &e.to_string()))?;
    match limit.exceeded_by(buffer.len()) {
        Some(allowed) => Err(EncodingError::TooLarge { allowed }),
        None => Ok(buffer),
    }
}

fn damaged(encoding: &'static str, message: &str) -> EncodingError {
    EncodingError::Damaged { encoding, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Identity => plain.to_vec(),
            Encoding::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(plain).unwrap();
                out.finish().unwrap()
            }
            Encoding::Zstd => zstd::encode_all(plain, 3).unwrap(),
            Encoding::Snappy => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        }
    }

    const ALL: [Encoding; 4] = [Encoding::Identity, Encoding::Gzip, Encoding::Zstd, Encoding::Snappy];

    #[test]
    fn every_encoding_is_undone() {
        let plain = b"samples ".repeat(100);
        let mut buffer = Vec::new();
        for encoding in ALL {
            let body = packed(encoding, &plain);
            assert_eq!(decode(encoding, &body, Limit::at(800), &mut buffer), Ok(plain.as_slice()));
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let plain = vec![0u8; 10 << 20];
        for encoding in ALL {
            let (body, mut buffer) = (packed(encoding, &plain), Vec::new());
            let refused = EncodingError::TooLarge { allowed: 1 << 16 };
            assert_eq!(decode(encoding, &body, Limit::at(1 << 16), &mut buffer), Err(refused));
            assert!(buffer.capacity() <= 1 << 20, "{encoding:?} took {} bytes", buffer.capacity());
        }
    }

    #[test]
    fn snappy_that_declares_what_it_cannot_hold_takes_no_memory() {
        let mut buffer = Vec::new();
        let body = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0];
        assert!(matches!(
            decode(Encoding::Snappy, &body, Limit::NONE, &mut buffer),
            Err(EncodingError::Damaged { .. })
        ));
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn the_framing_format_of_snappy_is_recognised() {
        let mut out = snap::write::FrameEncoder::new(Vec::new());
        out.write_all(b"framed").unwrap();
        let body = out.into_inner().unwrap();
        let mut buffer = Vec::new();
        assert_eq!(decode(Encoding::Snappy, &body, Limit::NONE, &mut buffer), Ok(&b"framed"[..]));
    }

    #[test]
    fn truncated_bodies_are_errors() {
        let plain = b"samples ".repeat(100);
        for encoding in [Encoding::Gzip, Encoding::Zstd, Encoding::Snappy] {
            let body = packed(encoding, &plain);
            for length in 0..body.len() {
                let outcome = decode(encoding, &body[..length], Limit::at(1 << 20), &mut Vec::new())
                    .map(<[u8]>::to_vec);
                assert_ne!(outcome, Ok(plain.clone()), "{encoding:?} cut to {length}");
            }
        }
    }
}
