//! Memory for decoded texts.

/// Bytes that are wiped when they are no longer needed: what stands here is what callers wrote,
/// secrets included.
#[derive(Default)]
pub(crate) struct Scratch {
    pub bytes: Vec<u8>,
    /// How far bytes were ever written.
    written: usize,
}

impl Scratch {
    /// Makes room for so many bytes in all, once. What grows beyond leaves a copy behind that is
    /// not wiped.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(bytes);
        }
    }

    /// Appends bytes, and leaves no copy behind where that takes other memory.
    pub(crate) fn grow(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > self.bytes.capacity() {
            let mut larger = Self::default();
            larger.reserve(2 * (self.bytes.len() + bytes.len()));
            larger.bytes.extend_from_slice(&self.bytes);
            *self = larger;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets the first bytes.
    pub(crate) fn forget(&mut self, bytes: usize) {
        if bytes > 0 {
            let rest = self.bytes.len() - bytes;
            self.bytes.rotate_left(bytes);
            self.truncate(rest);
        }
    }

    /// Forgets what stands behind `length`.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.written = self.written.max(self.bytes.len());
        self.bytes.truncate(length);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.truncate(0);
        // Not `Vec::zeroize`: that writes byte after byte, and takes longer than the scan.
        self.bytes.resize(self.written, 0);
        zeroize::optimization_barrier(&self.bytes[..]);
    }
}
