//! Segments: the files with the samples, a sequence of compressed, checksummed frames and a directory at the end.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::BlockError;
use super::compress::compress;
use super::file::ReadFile;
use crate::fs::{File, Fs};
use crate::names;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer, checksum};
use tsdb_core::error::CorruptionKind;
use zstd::stream::raw::Encoder;

const SECTION: &str = "segment";
/// The first eight bytes of a segment.
const MAGIC: [u8; 8] = *b"tsdbseg\n";
/// The version this crate writes, and the only one it reads.
const VERSION: u32 = 1;
/// Length of magic and version.
pub(super) const HEADER_LEN: usize = 12;
/// Length of what precedes the payload of a frame.
const FRAME_HEADER_LEN: usize = 18;
const CHECKSUM_LEN: usize = 4;
/// Length of the trailer: offset of the directory, magic, checksum.
const TRAILER_LEN: usize = 16;
const TRAILER_MAGIC: u32 = u32::from_le_bytes(*b"ges\n");
/// No frame is longer than this when unpacked.
const MAX_RAW_LEN: usize = 64 << 20;
/// What is read of a segment at once when the length of a frame is not known yet: most are shorter.
pub(super) const GUESSED_FRAME_BYTES: usize = 32 << 10;
/// A segment that has reached this length is closed.
pub(super) const SEGMENT_BYTES: u64 = 512 << 20;
/// A segment is synced whenever so much of it is new, so that no sync keeps the disk from others for long.
const SYNC_BYTES: u64 = 16 << 20;
const ZSTD_LEVEL: i32 = 3;
/// Bits of the offset in a [`FrameRef`].
const OFFSET_BITS: u32 = 48;

/// What a frame holds. All other tags are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Columns of values.
    Values = 1,
    /// Columns of timestamps.
    Times = 2,
    /// Where the columns of timestamps are.
    Directory = 3,
    /// Chunks of windows.
    Windows = 4,
}

const STORED: u8 = 0;
const ZSTD: u8 = 1;

/// Where a frame is: number of the segment in the upper 16 bits, offset in the lower 48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FrameRef(pub(super) u64);

impl FrameRef {
    fn new(segment: u64, offset: u64) -> Self {
        Self(segment << OFFSET_BITS | offset)
    }

    pub(super) fn segment(self) -> u64 {
        self.0 >> OFFSET_BITS
    }

    pub(super) fn offset(self) -> u64 {
        self.0 & 1_u64.wrapping_shl(OFFSET_BITS).wrapping_sub(1)
    }
}

/// A frame of columns of timestamps: number of the first column, how many they are, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimesEntry {
    pub(super) first: u32,
    pub(super) columns: u32,
    pub(super) frame: FrameRef,
}

/// The columns of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ColumnSpan {
    /// Of a frame of values: what the numbers of columns of timestamps in it count from. Of a frame of timestamps: the
    /// number of its first column.
    pub(super) base: u32,
    /// How many columns the frame has.
    pub(super) count: u32,
}

/// Numbers for segments: each is given once.
#[derive(Debug, Clone, Default)]
pub(super) struct SegmentNumbers(Arc<AtomicU64>);

impl SegmentNumbers {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }
}

/// Writes segments one after the other.
pub(super) struct SegmentsWriter<'a> {
    fs: &'a dyn Fs,
    dir: PathBuf,
    limit: u64,
    numbers: SegmentNumbers,
    /// That of the segment being written, once something is going to be in it.
    number: Option<u64>,
    len: u64,
    /// Up to where the segment was synced.
    synced: u64,
    file: Option<Box<dyn File>>,
    times: Vec<TimesEntry>,
    encoder: Encoder<'static>,
}

impl<'a> SegmentsWriter<'a> {
    /// Segments in the existing directory `dir`, closed when they reach `limit` bytes.
    pub(super) fn new(
        fs: &'a dyn Fs,
        dir: PathBuf,
        limit: u64,
        numbers: SegmentNumbers,
    ) -> Result<Self, BlockError> {
        let encoder = Encoder::new(ZSTD_LEVEL).map_err(BlockError::io("prepare compression for", &dir))?;
        let len = HEADER_LEN as u64;
        Ok(Self {
            fs,
            dir,
            limit,
            numbers,
            number: None,
            len,
            synced: 0,
            file: None,
            times: Vec::new(),
            encoder,
        })
    }

    /// Where the next frame will be.
    pub(super) fn next(&mut self) -> FrameRef {
        FrameRef::new(self.number(), self.len)
    }

    /// Bytes of the segment being written.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Appends a frame. `cuts` are offsets in `raw` where the nature of the bytes changes.
    pub(super) fn append(
        &mut self,
        kind: Kind,
        columns: ColumnSpan,
        raw: &[u8],
        cuts: impl Iterator<Item = usize>,
    ) -> Result<FrameRef, BlockError> {
        let path = self.path();
        let packed =
            compress(&mut self.encoder, raw, cuts).map_err(BlockError::io("compress a frame of", &path))?;
        let (method, payload) = if packed.len() < raw.len() { (ZSTD, &*packed) } else { (STORED, raw) };
        self.append_stored(&StoredFrame { kind, columns, method, raw_len: raw.len(), payload })
    }

    /// Appends a frame as it is.
    pub(super) fn append_stored(&mut self, frame: &StoredFrame<'_>) -> Result<FrameRef, BlockError> {
        let mut out = Writer::with_capacity(frame.payload.len().saturating_add(32));
        out.u32(length(frame.payload.len()));
        out.u32(length(frame.raw_len));
        out.u32(frame.columns.base);
        out.u32(frame.columns.count);
        out.u8(frame.kind as u8);
        out.u8(frame.method);
        out.bytes(frame.payload);
        let sum = checksum(out.as_bytes());
        out.u32(sum);
        let place = self.next();
        self.write(out.as_bytes())?;
        if frame.kind == Kind::Times {
            let ColumnSpan { base, count } = frame.columns;
            self.times.push(TimesEntry { first: base, columns: count, frame: place });
        }
        Ok(place)
    }

    /// Begins another segment if this one is long enough.
    pub(super) fn roll(&mut self) -> Result<(), BlockError> {
        if self.len >= self.limit { self.finish() } else { Ok(()) }
    }

    /// Ends the segment, if there is one, with its directory and syncs it. The next frame begins another one.
    pub(super) fn finish(&mut self) -> Result<(), BlockError> {
        if self.number.is_none() {
            return Ok(());
        }
        let mut directory = Writer::new();
        directory.varint(self.times.len() as u64);
        let (mut next, mut offset) = (0_u32, 0);
        for entry in std::mem::take(&mut self.times) {
            directory.zigzag(i64::from(entry.first).wrapping_sub(next.into()));
            directory.varint(entry.columns.into());
            directory.varint(entry.frame.offset().wrapping_sub(offset));
            (next, offset) = (entry.first.wrapping_add(entry.columns), entry.frame.offset());
        }
        let columns = ColumnSpan::default();
        let place = self.append(Kind::Directory, columns, directory.as_bytes(), std::iter::empty())?;
        let mut trailer = Writer::new();
        trailer.u64(place.offset());
        trailer.u32(TRAILER_MAGIC);
        let sum = checksum(trailer.as_bytes());
        trailer.u32(sum);
        self.write(trailer.as_bytes())?;
        if let Some(file) = self.file.take() {
            file.sync().map_err(BlockError::io("sync", self.path()))?;
        }
        self.number = None;
        self.synced = 0;
        self.len = HEADER_LEN as u64;
        Ok(())
    }

    fn number(&mut self) -> u64 {
        *self.number.get_or_insert_with(|| self.numbers.next())
    }

    fn path(&mut self) -> PathBuf {
        let number = self.number();
        self.dir.join(names::numbered(number))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        let path = self.path();
        let file = match &mut self.file {
            Some(file) => file,
            closed => {
                let file = self.fs.create_new(&path).map_err(BlockError::io("create", &path))?;
                let mut header = Writer::new();
                header.bytes(&MAGIC);
                header.u32(VERSION);
                file.append(header.as_bytes()).map_err(BlockError::io("write", &path))?;
                closed.insert(file)
            }
        };
        file.append(bytes).map_err(BlockError::io("write", &path))?;
        self.len = self.len.saturating_add(bytes.len() as u64);
        if self.len.saturating_sub(self.synced) >= SYNC_BYTES {
            file.sync().map_err(BlockError::io("sync", &path))?;
            self.synced = self.len;
        }
        Ok(())
    }
}

/// Frames are far shorter than 4 GiB; a longer one would be refused by its own length.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A frame as it lies in the file, its checksum confirmed.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredFrame<'a> {
    pub(super) kind: Kind,
    pub(super) columns: ColumnSpan,
    method: u8,
    raw_len: usize,
    payload: &'a [u8],
}

/// An unpacked frame.
#[derive(Debug)]
pub(super) struct UnpackedFrame {
    pub(super) columns: ColumnSpan,
    pub(super) bytes: Vec<u8>,
}

impl StoredFrame<'_> {
    /// The frame as it was before it was compressed.
    pub(super) fn unpack(
        &self,
        decoder: &mut zstd::bulk::Decompressor<'_>,
    ) -> Result<UnpackedFrame, Corruption> {
        let mut raw = Vec::with_capacity(self.raw_len);
        if self.method == STORED {
            raw.extend_from_slice(self.payload);
        } else {
            decoder.decompress_to_buffer(self.payload, &mut raw).map_err(|error| {
                let kind = CorruptionKind::Layer { message: format!("the frame does not unpack: {error}") };
                Corruption::new(SECTION, 0, kind)
            })?;
        }
        if raw.len() == self.raw_len {
            return Ok(UnpackedFrame { columns: self.columns, bytes: raw });
        }
        let kind = CorruptionKind::Invalid { field: "unpacked length", value: self.raw_len as u64 };
        Err(Corruption::new(SECTION, 0, kind))
    }
}

/// One segment, opened.
#[derive(Debug)]
pub(super) struct Segment {
    file: ReadFile,
    /// Where the directory begins: the end of the other frames.
    directory: usize,
}

impl Segment {
    /// Opens segment number `number` and appends what its directory says to `times`.
    pub(super) fn open(file: ReadFile, number: u64, times: &mut Vec<TimesEntry>) -> Result<Self, Corruption> {
        let head = file.read(SECTION, 0..HEADER_LEN.min(file.len()))?;
        let mut header = Reader::new(SECTION, &head);
        let magic = header.u64("magic")?;
        if magic != u64::from_le_bytes(MAGIC) {
            return Err(header.corruption(CorruptionKind::Unknown { field: "magic", value: magic }));
        }
        let version = header.u32("version")?;
        if version != VERSION {
            return Err(
                header.corruption(CorruptionKind::Unknown { field: "version", value: version.into() })
            );
        }
        let directory = read_trailer(&file)?;
        let segment = Self { file, directory };
        segment.read_directory(number, times)?;
        Ok(segment)
    }

    /// Reads the frame at `offset` into `buffer` and checks it. Returns also the offset of the next frame.
    pub(super) fn frame<'b>(
        &self,
        offset: usize,
        buffer: &'b mut Vec<u8>,
    ) -> Result<(StoredFrame<'b>, usize), Corruption> {
        let place =
            |damage: Corruption| Corruption { offset: damage.offset.saturating_add(offset), ..damage };
        self.load(offset, buffer)?;
        // What was kept since it was read may be worth another look.
        if self.file.is_far() && read_frame(buffer).is_err() && self.file.distrust() {
            self.load(offset, buffer)?;
        }
        read_frame(buffer).map(|(frame, len)| (frame, offset.saturating_add(len))).map_err(place)
    }

    /// Reads at least the frame at `offset` into `buffer`.
    fn load(&self, offset: usize, buffer: &mut Vec<u8>) -> Result<(), Corruption> {
        let rest = self.file.len().saturating_sub(offset);
        // What was read ahead may end where the frame does.
        let guess = rest.min(if self.file.is_far() { FRAME_HEADER_LEN } else { GUESSED_FRAME_BYTES });
        buffer.resize(guess, 0);
        self.file.fill(SECTION, offset, buffer)?;
        let at = |damage: Corruption| Corruption { offset, ..damage };
        let payload = Reader::new(SECTION, buffer).u32("length of a frame").map_err(at)?;
        let len = (payload as usize).saturating_add(FRAME_HEADER_LEN).saturating_add(CHECKSUM_LEN);
        if len > guess && len <= rest {
            buffer.resize(len, 0);
            let more = buffer.get_mut(guess..).unwrap_or_default();
            self.file.fill(SECTION, offset.saturating_add(guess), more)?;
        }
        Ok(())
    }

    /// Where the frames of samples end.
    pub(super) fn frames_end(&self) -> usize {
        self.directory
    }

    fn read_directory(&self, number: u64, times: &mut Vec<TimesEntry>) -> Result<(), Corruption> {
        let mut buffer = Vec::new();
        let (frame, end) = self.frame(self.directory, &mut buffer)?;
        let file_len = self.file.len();
        if frame.kind != Kind::Directory || end.saturating_add(TRAILER_LEN) != file_len {
            let rule = "the directory and the trailer end the segment";
            return Err(Corruption::new(SECTION, self.directory, CorruptionKind::Rule { rule }));
        }
        let mut decoder = decoder()?;
        let raw = frame.unpack(&mut decoder)?.bytes;
        let mut reader = Reader::new("segment directory", &raw);
        let count = reader.count(3, "count of frames")?;
        let (mut next, mut offset) = (0_u32, 0_u64);
        for _ in 0..count {
            let first = i64::from(next).saturating_add(reader.zigzag("first column")?);
            let columns = reader.varint("count of columns")?;
            offset = offset.saturating_add(reader.varint("offset")?);
            let (from, columns) = match (u32::try_from(first), u32::try_from(columns)) {
                (Ok(from), Ok(columns)) if offset < self.directory as u64 => (from, columns),
                _ => return Err(reader.invalid("first column", first.cast_unsigned())),
            };
            next = from
                .checked_add(columns)
                .ok_or_else(|| reader.invalid("count of columns", columns.into()))?;
            times.push(TimesEntry { first: from, columns, frame: FrameRef::new(number, offset) });
        }
        reader.finish()
    }
}

/// A decompressor.
pub(super) fn decoder() -> Result<zstd::bulk::Decompressor<'static>, Corruption> {
    zstd::bulk::Decompressor::new().map_err(|error| {
        let message = format!("no decompressor: {error}");
        Corruption::new(SECTION, 0, CorruptionKind::Layer { message })
    })
}

fn read_trailer(file: &ReadFile) -> Result<usize, Corruption> {
    let trailer = file.read("segment trailer", file.len().saturating_sub(TRAILER_LEN)..file.len())?;
    let mut reader = Reader::new("segment trailer", &trailer);
    let directory = reader.u64("directory")?;
    let magic = reader.u32("magic")?;
    if magic != TRAILER_MAGIC {
        return Err(
            reader.corruption(CorruptionKind::Unknown { field: "trailer magic", value: magic.into() })
        );
    }
    let computed = checksum(trailer.get(..reader.position()).unwrap_or_default());
    let stored = reader.u32("checksum")?;
    if stored != computed {
        let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
        return Err(reader.corruption(kind));
    }
    usize::try_from(directory).map_err(|_| reader.invalid("directory", directory))
}

/// The frame at the start of `bytes` and its length in all.
fn read_frame(bytes: &[u8]) -> Result<(StoredFrame<'_>, usize), Corruption> {
    let mut reader = Reader::new(SECTION, bytes);
    let len = reader.u32("length of a frame")? as usize;
    let raw_len = reader.u32("unpacked length")? as usize;
    let columns = ColumnSpan { base: reader.u32("base of columns")?, count: reader.u32("count of columns")? };
    let kind = reader.u8("kind of frame")?;
    let method = reader.u8("compression")?;
    let payload = reader.bytes(len, "frame")?;
    let end = FRAME_HEADER_LEN.saturating_add(len);
    let computed = checksum(bytes.get(..end).unwrap_or_default());
    let stored = reader.u32("checksum")?;
    if stored != computed {
        let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
        return Err(Corruption::new(SECTION, 0, kind));
    }
    let unknown = |field, value: u8| {
        Corruption::new(SECTION, 0, CorruptionKind::Unknown { field, value: value.into() })
    };
    let kind = match kind {
        1 => Kind::Values,
        2 => Kind::Times,
        3 => Kind::Directory,
        4 => Kind::Windows,
        other => return Err(unknown("kind of frame", other)),
    };
    if method > ZSTD {
        return Err(unknown("compression", method));
    }
    if raw_len > MAX_RAW_LEN {
        let kind = CorruptionKind::Invalid { field: "unpacked length", value: raw_len as u64 };
        return Err(Corruption::new(SECTION, 0, kind));
    }
    Ok((StoredFrame { kind, columns, method, raw_len, payload }, end.saturating_add(CHECKSUM_LEN)))
}

/// The segments of a block in `dir`, and where their columns of timestamps are. A segment that cannot be opened is
/// reported beside; the others serve.
pub(super) fn open_all(
    fs: &Arc<dyn Fs>,
    dir: &Path,
) -> Result<(Segments, Vec<(PathBuf, Corruption)>), BlockError> {
    let entries = fs.list(dir).map_err(BlockError::io("list", dir))?;
    let mut segments = Segments::default();
    let mut damaged = Vec::new();
    let last = entries.iter().filter_map(|entry| names::parse_numbered(&entry.name)).max().unwrap_or(0);
    for number in 1..=last.min(u64::from(u16::MAX)) {
        let path = dir.join(names::numbered(number));
        let opened = match ReadFile::open(fs, &path) {
            Ok(file) => Segment::open(file, number, &mut segments.times),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Corruption::new(
                SECTION,
                0,
                CorruptionKind::Rule { rule: "no segment of a block is missing" },
            )),
            Err(error) => return Err(BlockError::Io { action: "open", path, source: error }),
        };
        segments.all.push(match opened {
            Ok(segment) => Ok(segment),
            Err(damage) => match BlockError::damaged(&path, damage) {
                BlockError::Corrupt { path, source } => {
                    damaged.push((path, source.clone()));
                    Err(source)
                }
                unknown_version => return Err(unknown_version),
            },
        });
    }
    segments.times.sort_unstable_by_key(|entry| entry.first);
    Ok((segments, damaged))
}

/// The segments of a block by number, from 1.
#[derive(Debug, Default)]
pub(super) struct Segments {
    all: Vec<Result<Segment, Corruption>>,
    times: Vec<TimesEntry>,
}

impl Segments {
    /// The frame of `kind` at `place`, read into `buffer` and checked.
    pub(super) fn frame<'b>(
        &self,
        place: FrameRef,
        kind: Kind,
        buffer: &'b mut Vec<u8>,
    ) -> Result<StoredFrame<'b>, Corruption> {
        let offset = usize::try_from(place.offset()).unwrap_or(usize::MAX);
        let (frame, _) = self.segment(place.segment())?.frame(offset, buffer)?;
        if frame.kind == kind {
            return Ok(frame);
        }
        let rule = "a reference leads to its kind of frame";
        Err(Corruption::new(SECTION, offset, CorruptionKind::Rule { rule }))
    }

    /// Bytes that the frame at `place` takes, as its header says.
    pub(super) fn stored_len(&self, place: FrameRef) -> Result<usize, Corruption> {
        let offset = usize::try_from(place.offset()).unwrap_or(usize::MAX);
        let mut len = [0; 4];
        self.segment(place.segment())?.file.fill(SECTION, offset, &mut len)?;
        Ok((u32::from_le_bytes(len) as usize).saturating_add(FRAME_HEADER_LEN).saturating_add(CHECKSUM_LEN))
    }

    /// The frames of columns of timestamps, by the number of their first column.
    pub(super) fn times(&self) -> &[TimesEntry] {
        &self.times
    }

    /// The segment `number`.
    pub(super) fn segment(&self, number: u64) -> Result<&Segment, Corruption> {
        let index = usize::try_from(number.wrapping_sub(1)).unwrap_or(usize::MAX);
        match self.all.get(index) {
            Some(segment) => segment.as_ref().map_err(Clone::clone),
            None => {
                let kind = CorruptionKind::Invalid { field: "number of the segment", value: number };
                Err(Corruption::new("index series", 0, kind))
            }
        }
    }

    /// Number of segments, damaged ones included.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The frame with the column of timestamps `number`, and the place of the column in it.
    pub(super) fn time_column(&self, number: u32) -> Result<(FrameRef, u32), Corruption> {
        let after = self.times.partition_point(|entry| entry.first <= number);
        match after.checked_sub(1).and_then(|index| self.times.get(index)) {
            Some(entry) if number.wrapping_sub(entry.first) < entry.columns => {
                Ok((entry.frame, number.wrapping_sub(entry.first)))
            }
            _ => {
                let kind = CorruptionKind::Invalid { field: "time column", value: number.into() };
                Err(Corruption::new("segment directory", 0, kind))
            }
        }
    }
}
