//! From the head to a block.

use crate::Error;
use crate::block::{BlockSpec, BlockWriter};
use crate::blocks::{BlockPlace, OpenBlock};
use crate::head::{Head, HeadView};
use std::hash::{BuildHasher, RandomState};
use tsdb_core::Timestamp;
use tsdb_core::block::BlockId;
use tsdb_core::sample::SampleColumns;
use tsdb_index::RoaringBitmap;
use ulid::Ulid;

/// Writes the samples of `head` in `view`, those of the series in `only` if given, as the block `id` and opens it; `None`
/// if there are none. No samples may be
/// added to the view any more.
pub(crate) fn write_block(
    head: &Head,
    place: &BlockPlace,
    view: &HeadView,
    only: Option<&RoaringBitmap>,
    id: BlockId,
) -> Result<Option<OpenBlock>, Error> {
    let written = write(head, place, view, only, id);
    let opened = written.and_then(|written| match written {
        Some(()) => place.open(&place.path(id)).map(Some),
        None => Ok(None),
    });
    opened.inspect_err(|_| {
        // The last step may have failed after the block got its name. The head still has the samples, so the block is
        // not needed; should it stay, it holds what a later one will hold too, and readers merge the two.
        drop(place.remove(id));
    })
}

fn write(
    head: &Head,
    place: &BlockPlace,
    view: &HeadView,
    only: Option<&RoaringBitmap>,
    id: BlockId,
) -> Result<Option<()>, Error> {
    let memory = head.memory();
    let mut writer = BlockWriter::create(&*place.fs, &place.dir, BlockSpec::first_level(id))?;
    let mut columns = SampleColumns::new();
    for series in memory.in_label_order(view, only) {
        columns.clear();
        let read = memory.read(series, view, &mut columns);
        read.map_err(|source| Error::Corrupt { path: place.dir.clone(), source })?;
        if let Some(labels) = memory.labels(series).filter(|_| !columns.is_empty()) {
            writer.add_samples(&labels, columns.as_slices())?;
        }
    }
    Ok(writer.finish()?.map(|_| ()))
}

/// A name nobody has: the time, and bits seeded by the operating system. Greater than `newest`, so that names sort as
/// blocks were made even if the clock goes back.
pub(crate) fn new_id(newest: Option<BlockId>, now: Timestamp) -> BlockId {
    let random = || u128::from(RandomState::new().hash_one(0));
    let ms = u64::try_from(now).unwrap_or(0);
    let id = BlockId(Ulid::from_parts(ms, random() << 64 | random()).into());
    newest.map_or(id, |newest| id.max(BlockId(newest.0.saturating_add(1))))
}
