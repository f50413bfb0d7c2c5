//! One file: what the cache holds, and what is on the disk.

use std::collections::BTreeSet;

use fastrand::Rng;

/// What a file system writes at once, and may tear nevertheless.
const PAGE_BYTES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Image {
    /// What readers see.
    cached: Vec<u8>,
    /// What the next crash leaves for certain, but for dirty pages.
    durable: Vec<u8>,
    /// Pages that differ from the disk, as far as the cache knows.
    dirty: BTreeSet<usize>,
    /// The length on the disk may be the old one.
    len_dirty: bool,
}

/// The part of `bytes` that lies in a page.
fn page_of(bytes: &[u8], page: usize) -> &[u8] {
    let start = page * PAGE_BYTES;
    let end = bytes.len().min(start + PAGE_BYTES);
    bytes.get(start..end).unwrap_or_default()
}

/// Puts bytes into a page, which must not be longer than the page; grows the file with zeros.
fn put(bytes: &mut Vec<u8>, page: usize, content: &[u8]) {
    if content.is_empty() {
        return;
    }
    let start = page * PAGE_BYTES;
    let end = start + content.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(start..end) {
        place.copy_from_slice(content);
    }
}

fn pages(len: usize) -> usize {
    len.div_ceil(PAGE_BYTES)
}

impl Image {
    pub(super) fn contents(&self) -> &[u8] {
        &self.cached
    }

    /// Bytes on the disk, in whole pages.
    pub(super) fn allocated(&self) -> u64 {
        (pages(self.cached.len()) * PAGE_BYTES) as u64
    }

    /// How many of `len` bytes at `offset` can be written when so much room is left on the disk.
    pub(super) fn fits(&self, offset: u64, len: u64, room: u64) -> u64 {
        let limit = self.allocated() + room / PAGE_BYTES as u64 * PAGE_BYTES as u64;
        limit.saturating_sub(offset).min(len)
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.len_dirty || !self.dirty.is_empty()
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.cached.get(from..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        len
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(bytes.len());
        let before = self.cached.len();
        if before < end {
            self.cached.resize(end, 0);
            self.len_dirty = true;
        }
        if let Some(place) = self.cached.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
        // What was the end is filled with zeros.
        self.dirty
            .extend(start.min(before) / PAGE_BYTES..pages(end));
    }

    pub(super) fn truncate(&mut self, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len == self.cached.len() {
            return;
        }
        let from = len.min(self.cached.len()) / PAGE_BYTES;
        let to = pages(len.max(self.cached.len()));
        self.cached.resize(len, 0);
        self.len_dirty = true;
        self.dirty.extend(from..to);
    }

    pub(super) fn sync(&mut self) {
        for page in std::mem::take(&mut self.dirty) {
            put(&mut self.durable, page, page_of(&self.cached, page));
        }
        // Also when a sync has failed since: lengths are metadata, which stay dirty.
        self.durable.resize(self.cached.len(), 0);
        self.len_dirty = false;
    }

    /// Now and then the kernel writes a page by itself, long before the sync.
    pub(super) fn write_back(&mut self, random: &mut Rng) {
        if random.u8(..) >= 64 {
            return;
        }
        let nth = random.usize(0..self.dirty.len().max(1));
        if let Some(page) = self.dirty.iter().nth(nth).copied() {
            // It stays dirty here, which changes nothing: both versions are the same.
            put(&mut self.durable, page, page_of(&self.cached, page));
        }
    }

    /// A sync fails: what is dirty counts as clean from here on, and any part of it is on the disk.
    pub(super) fn drop_dirty(&mut self, random: &mut Rng) {
        let evicted = random.bool();
        for page in std::mem::take(&mut self.dirty) {
            if random.bool() {
                put(&mut self.durable, page, page_of(&self.cached, page));
            } else if evicted {
                // The next reader gets the page from the disk.
                let len = page_of(&self.cached, page).len();
                let mut old = page_of(&self.durable, page).to_vec();
                old.resize(len, 0);
                put(&mut self.cached, page, &old);
            }
        }
    }

    pub(super) fn crash(&mut self, random: &mut Rng) {
        let (old_len, new_len) = (self.durable.len(), self.cached.len());
        let len = match self.len_dirty {
            false => new_len,
            true => match random.u8(0..4) {
                0 => old_len,
                1 => random.usize(old_len.min(new_len)..=old_len.max(new_len)),
                _ => new_len,
            },
        };
        // What was written beyond the old length may be there whatever the length says.
        let mut left = std::mem::take(&mut self.durable);
        left.resize(old_len.max(new_len), 0);
        let fate = random.u8(0..4);
        for page in std::mem::take(&mut self.dirty) {
            let mut content = page_of(&left, page).to_vec();
            let written = page_of(&self.cached, page);
            let take = match fate {
                0 => 0,
                1 => content.len(),
                _ => match random.u8(0..4) {
                    0 => 0,
                    1 => random.usize(0..=content.len()),
                    _ => content.len(),
                },
            };
            // Torn at any byte, from either side.
            let range = match random.bool() {
                true => 0..take,
                false => content.len() - take..content.len(),
            };
            // What was cut off is zeros.
            let mut written = written.to_vec();
            written.resize(content.len(), 0);
            if let (Some(to), Some(from)) = (content.get_mut(range.clone()), written.get(range)) {
                to.copy_from_slice(from);
            }
            put(&mut left, page, &content);
        }
        left.truncate(len);
        self.cached.clone_from(&left);
        self.durable = left;
        self.len_dirty = false;
    }

    pub(super) fn flip(&mut self, offset: u64, bit: u8) -> bool {
        let place = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut flipped = false;
        for bytes in [&mut self.cached, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << (bit & 7);
                flipped = true;
            }
        }
        flipped
    }
}
