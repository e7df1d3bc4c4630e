//! Records that the operating system has and the disk may not: kept to be written again if a sync fails.

/// Records one behind the other.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Queue {
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

    /// Forgets the records. Memory that this time was used for less than a quarter is given back in part.
    pub(super) fn clear(&mut self) {
        let (bytes, ends) = (self.bytes.len(), self.ends.len());
        self.bytes.clear();
        self.ends.clear();
        if bytes < self.bytes.capacity() / 4 {
            self.bytes.shrink_to(2 * bytes);
            self.ends.shrink_to(2 * ends);
        }
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
