//! Buffers that requests take and give back.

use parking_lot::Mutex;

/// Buffers for decompressed bodies, reused between requests.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    const MAX_IDLE: usize = 16;
    /// A buffer that grew beyond this is let go, so that one huge body does not occupy memory for ever.
    const MAX_IDLE_BYTES: usize = 4 << 20;

    /// A buffer with any content.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.idle.lock().pop().unwrap_or_default()
    }

    /// Keeps `buffer` for the next request.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let mut idle = self.idle.lock();
        if buffer.capacity() <= Self::MAX_IDLE_BYTES && idle.len() < Self::MAX_IDLE {
            idle.push(buffer);
        }
    }
}
