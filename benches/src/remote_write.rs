//! Bodies of remote write 1.0, as a sender makes them.

/// A `WriteRequest` that is being filled; the memory is used again for the next one.
#[derive(Debug, Default)]
pub struct Body {
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

impl Body {
    /// Appends a `TimeSeries` with the labels that have the wire form `labels` and one sample.
    pub fn push(&mut self, labels: &[u8], at_ms: i64, value: f64) {
        let mut sample = [0u8; 24];
        sample[0] = 0x09;
        sample[1..9].copy_from_slice(&value.to_le_bytes());
        sample[9] = 0x10;
        let sample_len = 10 + put_varint(&mut sample[10..], at_ms as u64);
        self.plain.push(0x0a);
        push_varint(&mut self.plain, (labels.len() + 2 + sample_len) as u64);
        self.plain.extend_from_slice(labels);
        self.plain.extend_from_slice(&[0x12, sample_len as u8]);
        self.plain.extend_from_slice(&sample[..sample_len]);
    }

    /// The body, compressed by snappy, and begins the next one.
    ///
    /// # Errors
    /// The body is larger than snappy takes.
    pub fn take(&mut self) -> Result<&[u8], snap::Error> {
        self.compressed.resize(snap::raw::max_compress_len(self.plain.len()), 0);
        let len = snap::raw::Encoder::new().compress(&self.plain, &mut self.compressed)?;
        self.plain.clear();
        Ok(&self.compressed[..len])
    }
}

fn push_varint(out: &mut Vec<u8>, value: u64) {
    let mut buffer = [0u8; 10];
    let len = put_varint(&mut buffer, value);
    out.extend_from_slice(&buffer[..len]);
}

fn put_varint(out: &mut [u8], mut value: u64) -> usize {
    let mut len = 0;
    while value >= 0x80 {
        out[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    out[len] = value as u8;
    len + 1
}
