//! Compression of frames, in pieces whose bytes are of one nature.

use std::io;
use zstd::stream::raw::{Encoder, InBuffer, Operation, OutBuffer};

/// Compresses `raw` in blocks that end at `cuts`, so that each block's statistics are those of one kind of bytes.
pub(super) fn compress(
    encoder: &mut Encoder<'static>,
    raw: &[u8],
    cuts: impl Iterator<Item = usize>,
) -> io::Result<Vec<u8>> {
    let ends: Vec<usize> = cuts.chain([raw.len()]).collect();
    let room = zstd::zstd_safe::compress_bound(raw.len()).saturating_add(ends.len().saturating_mul(16));
    let mut packed = Vec::with_capacity(room.saturating_add(1024));
    encoder.reinit()?;
    let mut out = OutBuffer::around(&mut packed);
    let mut start = 0;
    for end in ends {
        let mut part = InBuffer::around(raw.get(start..end).unwrap_or_default());
        start = end.max(start);
        while part.pos() < part.src.len() {
            encoder.run(&mut part, &mut out)?;
        }
        settle(|out| encoder.flush(out), &mut out)?;
    }
    settle(|out| encoder.finish(out, true), &mut out)?;
    Ok(packed)
}

/// Repeats `step` until it has nothing left to write.
fn settle(
    mut step: impl FnMut(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
    out: &mut OutBuffer<'_, Vec<u8>>,
) -> io::Result<()> {
    loop {
        let before = out.pos();
        if step(out)? == 0 {
            return Ok(());
        }
        if out.pos() == before {
            return Err(io::Error::other("the compressor needs more room than it said"));
        }
    }
}
