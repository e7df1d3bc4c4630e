//! Records that the operating system has and the disk may not: kept to be written again if a sync fails.

/// Records one behind the other.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Queue {
    /// Capacity above which an emptied queue gives its memory back, in bytes.
    const KEEP_CAPACITY: usize = 1 << 20;

    pub(super) fn push(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.shrink_to(Self::KEEP_CAPACITY);
        self.ends.shrink_to(Self::KEEP_CAPACITY / size_of::<usize>());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let record = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            record
        })
    }
}
