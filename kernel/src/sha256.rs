//! SHA-256 of many messages of one length, which is a whole number of SHA's 64-byte blocks.
//!
//! One message after the other, SHA instructions wait for each other: a round needs the round before. Two
//! messages at a time do not, so `sha256::x86` takes them in pairs. Elsewhere the crate `sha2` does the work,
//! which uses the instructions of ARM, and plain code where there are none.

#[cfg(target_arch = "x86_64")]
mod x86;

use sha2::{Digest, Sha256};

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;
/// Bytes that SHA-256 takes at a time.
pub const BLOCK_BYTES: usize = 64;

/// Hash every `message_bytes` of `messages` and append the hashes to `out` in a row.
///
/// Panics unless `message_bytes` is a positive multiple of `BLOCK_BYTES` and divides the length of `messages`.
pub fn hash_each(messages: &[u8], message_bytes: usize, out: &mut Vec<u8>) {
    assert!(message_bytes > 0 && message_bytes.is_multiple_of(BLOCK_BYTES));
    assert!(messages.len().is_multiple_of(message_bytes));
    out.reserve(messages.len() / message_bytes * HASH_BYTES);
    #[cfg(target_arch = "x86_64")]
    if x86::is_there() {
        // SAFETY: the processor has the instructions.
        unsafe { x86::hash_each(messages, message_bytes, out) };
        return;
    }
    hash_each_portably(messages, message_bytes, out);
}

/// Which instructions `hash_each` uses on this processor.
pub fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if x86::is_there() {
        return "SHA instructions, two hashes at a time";
    }
    "crate sha2"
}

fn hash_each_portably(messages: &[u8], message_bytes: usize, out: &mut Vec<u8>) {
    for message in messages.chunks_exact(message_bytes) {
        out.extend_from_slice(&Sha256::digest(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(count: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn hashes_are_those_of_sha2_for_any_number_of_messages_of_any_length() {
        for blocks in 1..=17 {
            for count in 0..=9 {
                let messages = bytes(blocks * BLOCK_BYTES * count);
                let (mut ours, mut expected) = (vec![7], vec![7]);
                hash_each(&messages, blocks * BLOCK_BYTES, &mut ours);
                hash_each_portably(&messages, blocks * BLOCK_BYTES, &mut expected);
                assert_eq!(ours, expected, "{count} messages of {blocks} blocks");
            }
        }
    }

    #[test]
    #[should_panic]
    fn a_message_of_a_part_of_a_block_is_a_mistake() {
        hash_each(&bytes(96), 96, &mut Vec::new());
    }

    #[test]
    #[should_panic]
    fn a_part_of_a_message_is_a_mistake() {
        hash_each(&bytes(192), 128, &mut Vec::new());
    }
}
