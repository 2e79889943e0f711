//! SHA-256 with the SHA extensions of x86-64, `LANES` messages at a time.
//!
//! The rounds are those of FIPS 180-4, section 6.2.2, four at a time, in the order of registers that Intel's
//! instructions ask for: one register has the state's words A, B, E, F, another C, D, G, H. What stands behind a
//! message (a one bit, zeros, its length) is the same for all messages of a length and a block of its own, so
//! its message schedule is worked out once a call.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::{BLOCK_BYTES, HASH_BYTES};

const LANES: usize = 2;
/// Groups of four rounds in a block.
const GROUPS: usize = 16;

const INITIAL: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

#[rustfmt::skip]
static ROUND_CONSTANTS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// Whether this processor has the instructions.
pub fn is_there() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")
}

/// Hash every `message_bytes` of `messages`, a multiple of `BLOCK_BYTES`, and append the hashes to `out`.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub fn hash_each(messages: &[u8], message_bytes: usize, out: &mut Vec<u8>) {
    let padding = Schedule::of_padding(message_bytes);
    let mut groups = messages.chunks_exact(message_bytes * LANES);
    for group in &mut groups {
        let (first, second) = group.split_at(message_bytes);
        for hash in hash_lanes([first, second], &padding) {
            out.extend_from_slice(&hash);
        }
    }
    for message in groups.remainder().chunks_exact(message_bytes) {
        let [hash] = hash_lanes([message], &padding);
        out.extend_from_slice(&hash);
    }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn hash_lanes<const N: usize>(messages: [&[u8]; N], padding: &Schedule) -> [[u8; HASH_BYTES]; N] {
    let blocks = messages.map(|message| message.as_chunks::<BLOCK_BYTES>().0);
    let mut states = [State::initial(); N];
    for index in 0..messages[0].len() / BLOCK_BYTES {
        State::take(&mut states, blocks.map(|message| &message[index]));
    }
    State::take_padding(&mut states, padding);
    states.map(|state| state.hash())
}

/// The 64 words of a block's message schedule, with the round constants added.
struct Schedule([__m128i; GROUPS]);

impl Schedule {
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn of_padding(message_bytes: usize) -> Self {
        let mut block = [0; BLOCK_BYTES];
        block[0] = 0x80;
        block[BLOCK_BYTES - 8..].copy_from_slice(&(8 * message_bytes as u64).to_be_bytes());
        let mut words = load(&block);
        Schedule(from_fn(|group| {
            let sum = _mm_add_epi32(words[0], round_constants(group));
            advance(&mut words);
            sum
        }))
    }
}

#[derive(Clone, Copy)]
struct State {
    abef: __m128i,
    cdgh: __m128i,
}

impl State {
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn initial() -> Self {
        let [a, b, c, d, e, f, g, h] = INITIAL.map(|word| word as i32);
        State {
            abef: _mm_set_epi32(a, b, e, f),
            cdgh: _mm_set_epi32(c, d, g, h),
        }
    }

    /// Take one block into each of the states.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn take<const N: usize>(states: &mut [State; N], blocks: [&[u8; BLOCK_BYTES]; N]) {
        let before = *states;
        let mut words = blocks.map(|block| load(block));
        for group in 0..GROUPS {
            let constants = round_constants(group);
            for (state, words) in states.iter_mut().zip(&mut words) {
                state.four_rounds(_mm_add_epi32(words[0], constants));
                advance(words);
            }
        }
        for (state, before) in states.iter_mut().zip(before) {
            state.add(before);
        }
    }

    /// Take the same block, whose schedule is known, into each of the states.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn take_padding<const N: usize>(states: &mut [State; N], padding: &Schedule) {
        let before = *states;
        for sum in padding.0 {
            for state in &mut *states {
                state.four_rounds(sum);
            }
        }
        for (state, before) in states.iter_mut().zip(before) {
            state.add(before);
        }
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn four_rounds(&mut self, sum: __m128i) {
        self.cdgh = _mm_sha256rnds2_epu32(self.cdgh, self.abef, sum);
        self.abef = _mm_sha256rnds2_epu32(self.abef, self.cdgh, _mm_shuffle_epi32(sum, 0x0e));
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn add(&mut self, before: State) {
        self.abef = _mm_add_epi32(self.abef, before.abef);
        self.cdgh = _mm_add_epi32(self.cdgh, before.cdgh);
    }

    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn hash(self) -> [u8; HASH_BYTES] {
        let mut hash = [0; HASH_BYTES];
        let words: [u32; 8] = [
            _mm_extract_epi32(self.abef, 3) as u32,
            _mm_extract_epi32(self.abef, 2) as u32,
            _mm_extract_epi32(self.cdgh, 3) as u32,
            _mm_extract_epi32(self.cdgh, 2) as u32,
            _mm_extract_epi32(self.abef, 1) as u32,
            _mm_extract_epi32(self.abef, 0) as u32,
            _mm_extract_epi32(self.cdgh, 1) as u32,
            _mm_extract_epi32(self.cdgh, 0) as u32,
        ];
        for (bytes, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *bytes = word.to_be_bytes();
        }
        hash
    }
}

/// The sixteen words of a block, big-endian as SHA-256 reads them, in four registers.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn load(block: &[u8; BLOCK_BYTES]) -> [__m128i; 4] {
    let swap = _mm_set_epi64x(0x0c0d0e0f_08090a0b, 0x04050607_00010203);
    from_fn(|part| {
        // SAFETY: 16 bytes from a multiple of 16 below 64 on are inside of the block, aligned or not.
        let bytes = unsafe { _mm_loadu_si128(block.as_ptr().add(16 * part).cast()) };
        _mm_shuffle_epi8(bytes, swap)
    })
}

/// Move on by four words of the message schedule: drop the oldest four, work out the next.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn advance(words: &mut [__m128i; 4]) {
    let [w0, w1, w2, w3] = *words;
    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    *words = [w1, w2, w3, _mm_sha256msg2_epu32(sum, w3)];
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn round_constants(group: usize) -> __m128i {
    // SAFETY: there are 16 groups of 4 constants.
    unsafe { _mm_loadu_si128(ROUND_CONSTANTS.as_ptr().add(4 * group).cast()) }
}
