//! Merkle trees of the shape of RFC 9162, section 2.1.1, over leaves of one length: `grange.merkle` says more.

use crate::sha256::{HASH_BYTES, hash_each};

pub type Hash = [u8; HASH_BYTES];

/// The hashes of all leaves in a row. `data` is a whole number of leaves.
pub fn leaf_hashes(data: &[u8], leaf_bytes: usize) -> Vec<u8> {
    let mut hashes = Vec::new();
    hash_each(data, leaf_bytes, &mut hashes);
    hashes
}

/// The root over hashes in a row; there is at least one.
pub fn root_of_hashes(hashes: &[u8]) -> Hash {
    let mut level = Vec::new();
    let mut above = Vec::new();
    append_parents(hashes, &mut level);
    while level.len() > HASH_BYTES {
        above.clear();
        append_parents(&level, &mut above);
        std::mem::swap(&mut level, &mut above);
    }
    level.as_slice().try_into().expect("one hash is left")
}

/// The root over the leaves of `data`, which is a whole number of them and not empty.
pub fn root(data: &[u8], leaf_bytes: usize) -> Hash {
    root_of_hashes(&leaf_hashes(data, leaf_bytes))
}

/// Append the level above. An odd last node moves up as it is: that makes RFC 9162's shape.
fn append_parents(level: &[u8], above: &mut Vec<u8>) {
    let paired = level.len() / (2 * HASH_BYTES) * 2 * HASH_BYTES;
    hash_each(&level[..paired], 2 * HASH_BYTES, above);
    above.extend_from_slice(&level[paired..]);
}

/// All levels of a tree, for those who need many paths.
pub struct Tree {
    levels: Vec<Vec<u8>>,
}

impl Tree {
    /// Over hashes in a row, of which there is at least one.
    pub fn new(hashes: &[u8]) -> Self {
        let mut levels = vec![hashes.to_vec()];
        while let Some(level) = levels.last().filter(|level| level.len() > HASH_BYTES) {
            let mut above = Vec::new();
            append_parents(level, &mut above);
            levels.push(above);
        }
        Tree { levels }
    }

    /// How many hashes are at the bottom.
    pub fn count(&self) -> usize {
        self.levels[0].len() / HASH_BYTES
    }

    /// The hash at `index` of the bottom, if there is one.
    pub fn leaf(&self, index: usize) -> Option<&[u8]> {
        hash_at(&self.levels[0], index)
    }

    /// The sibling hashes from the bottom up, of a leaf that is there.
    pub fn path(&self, mut index: usize) -> Vec<&[u8]> {
        let mut siblings = Vec::new();
        for level in &self.levels {
            siblings.extend(hash_at(level, index ^ 1));
            index >>= 1;
        }
        siblings
    }
}

fn hash_at(level: &[u8], index: usize) -> Option<&[u8]> {
    level.chunks_exact(HASH_BYTES).nth(index)
}

/// The leaf hashes of a piece that arrives in chunks of any size; the piece itself is not kept.
pub struct PieceHasher {
    leaf_bytes: usize,
    hashes: Vec<u8>,
    pending: Vec<u8>,
}

impl PieceHasher {
    pub fn new(leaf_bytes: usize) -> Self {
        PieceHasher {
            leaf_bytes,
            hashes: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// How much has arrived.
    pub fn size_bytes(&self) -> usize {
        self.hashes.len() / HASH_BYTES * self.leaf_bytes + self.pending.len()
    }

    /// Take the next bytes.
    pub fn update(&mut self, mut chunk: &[u8]) {
        if !self.pending.is_empty() {
            let wanted = (self.leaf_bytes - self.pending.len()).min(chunk.len());
            self.pending.extend_from_slice(&chunk[..wanted]);
            chunk = &chunk[wanted..];
            if self.pending.len() < self.leaf_bytes {
                return;
            }
            hash_each(&self.pending, self.leaf_bytes, &mut self.hashes);
            self.pending.clear();
        }
        let whole = chunk.len() / self.leaf_bytes * self.leaf_bytes;
        hash_each(&chunk[..whole], self.leaf_bytes, &mut self.hashes);
        self.pending.extend_from_slice(&chunk[whole..]);
    }

    /// The hashes of all leaves in a row; None while a leaf is incomplete, or for nothing.
    pub fn leaf_hashes(&self) -> Option<&[u8]> {
        let complete = self.pending.is_empty() && !self.hashes.is_empty();
        complete.then_some(self.hashes.as_slice())
    }
}
