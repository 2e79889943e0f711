//! Sums of products in GF(2^8), for many bytes at once.
//!
//! A byte is its lower and its upper half, and a product with it the sum of the products with the halves, of
//! which there are 16 each. On x86-64 one instruction (AVX2) looks 32 halves up at once, as ISA-L does it.
//! Elsewhere this is plain and slow, and Python keeps to pyeclib.

use std::mem::MaybeUninit;

use crate::field::multiply;

/// Bytes that are worked on at a time.
const BLOCK_BYTES: usize = 64;
type Block = [u8; BLOCK_BYTES];

/// The products of one factor with the 16 lower and the 16 upper halves of a byte.
type Products = [u8; 32];

/// Whether `Tables::combine` is fast on this processor.
pub fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// For each output a row, with the products of the factor of each input.
pub struct Tables(Vec<Vec<Products>>);

impl Tables {
    pub fn new(factors: &[Vec<u8>]) -> Self {
        let products = |&factor: &u8| {
            std::array::from_fn(|index| {
                let half = index as u8 % 16;
                multiply(factor, if index < 16 { half } else { half << 4 })
            })
        };
        Tables(
            factors
                .iter()
                .map(|row| row.iter().map(products).collect())
                .collect(),
        )
    }

    /// Fill all of each output with the sum of the inputs times its factors. All have one length.
    pub fn combine(&self, inputs: &[&[u8]], outputs: &mut [&mut [MaybeUninit<u8>]]) {
        #[cfg(target_arch = "x86_64")]
        if is_fast() {
            // SAFETY: the processor has the instructions.
            unsafe { self.combine_fast(inputs, outputs) };
            return;
        }
        self.combine_plainly(inputs, outputs);
    }

    fn combine_plainly(&self, inputs: &[&[u8]], outputs: &mut [&mut [MaybeUninit<u8>]]) {
        for (row, output) in self.0.iter().zip(outputs) {
            for (index, sum) in output.iter_mut().enumerate() {
                let products = row.iter().zip(inputs).map(|(products, input)| {
                    let byte = usize::from(input[index]);
                    products[byte & 15] ^ products[16 + (byte >> 4)]
                });
                sum.write(products.fold(0, |sum, product| sum ^ product));
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn combine_fast(&self, inputs: &[&[u8]], outputs: &mut [&mut [MaybeUninit<u8>]]) {
        let (blocks, rests): (Vec<&[Block]>, Vec<&[u8]>) =
            inputs.iter().map(|input| input.as_chunks()).unzip();
        // What does not fill a block is worked on in one that it fills in part.
        let last: Vec<Block> = rests.iter().map(|rest| filled_up(rest)).collect();
        let last: Vec<&[Block]> = last.iter().map(std::slice::from_ref).collect();
        for (rows, outputs) in self.0.chunks(GROUP).zip(outputs.chunks_mut(GROUP)) {
            for place in 0..blocks[0].len() {
                let range = place * BLOCK_BYTES..(place + 1) * BLOCK_BYTES;
                combine_block(rows, &blocks, place, |row, sum| {
                    write(&mut outputs[row][range.clone()], sum)
                });
            }
            if !rests[0].is_empty() {
                let start = blocks[0].len() * BLOCK_BYTES;
                combine_block(rows, &last, 0, |row, sum| write(&mut outputs[row][start..], sum));
            }
        }
    }
}

/// Fill a place with the first of these bytes.
fn write(place: &mut [MaybeUninit<u8>], bytes: &Block) {
    for (place, &byte) in place.iter_mut().zip(bytes) {
        place.write(byte);
    }
}

fn filled_up(rest: &[u8]) -> Block {
    let mut block = [0; BLOCK_BYTES];
    block[..rest.len()].copy_from_slice(rest);
    block
}

#[cfg(target_arch = "x86_64")]
pub use x86::{GROUP, combine_block};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Block, Products};

    /// Outputs that are worked on at a time: their sums, and one block in halves, fill the registers.
    pub const GROUP: usize = 4;

    /// Give `store` the sums of one place's blocks, for each of up to `GROUP` rows.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn combine_block(
        rows: &[Vec<Products>],
        blocks: &[&[Block]],
        place: usize,
        store: impl FnMut(usize, &Block),
    ) {
        match *rows {
            [ref a, ref b, ref c, ref d] => combine([a, b, c, d], blocks, place, store),
            [ref a, ref b, ref c] => combine([a, b, c], blocks, place, store),
            [ref a, ref b] => combine([a, b], blocks, place, store),
            [ref a] => combine([a], blocks, place, store),
            _ => unreachable!("a group has one to four rows"),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn combine<const N: usize>(
        rows: [&Vec<Products>; N],
        blocks: &[&[Block]],
        place: usize,
        mut store: impl FnMut(usize, &Block),
    ) {
        let mut sums = [[_mm256_setzero_si256(); 2]; N];
        let lower_half = _mm256_set1_epi8(15);
        for (input, blocks) in blocks.iter().enumerate() {
            let parts = load(&blocks[place]);
            let lower = parts.map(|part| _mm256_and_si256(part, lower_half));
            let upper = parts.map(|part| _mm256_and_si256(_mm256_srli_epi64(part, 4), lower_half));
            for (row, sum) in rows.iter().zip(&mut sums) {
                let (of_lower, of_upper) = tables(&row[input]);
                for part in 0..2 {
                    let product = _mm256_xor_si256(
                        _mm256_shuffle_epi8(of_lower, lower[part]),
                        _mm256_shuffle_epi8(of_upper, upper[part]),
                    );
                    sum[part] = _mm256_xor_si256(sum[part], product);
                }
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            let mut block = [0; 64];
            // SAFETY: 32 bytes from 0 and from 32 on are inside of 64, aligned or not.
            unsafe {
                _mm256_storeu_si256(block.as_mut_ptr().cast(), sum[0]);
                _mm256_storeu_si256(block.as_mut_ptr().add(32).cast(), sum[1]);
            }
            store(row, &block);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(block: &Block) -> [__m256i; 2] {
        // SAFETY: 32 bytes from 0 and from 32 on are inside of 64, aligned or not.
        unsafe {
            [
                _mm256_loadu_si256(block.as_ptr().cast()),
                _mm256_loadu_si256(block.as_ptr().add(32).cast()),
            ]
        }
    }

    /// Both tables, twice each: the instruction looks up in each half of a register by itself.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn tables(products: &Products) -> (__m256i, __m256i) {
        // SAFETY: 16 bytes from 0 and from 16 on are inside of 32, aligned or not.
        unsafe {
            (
                _mm256_broadcastsi128_si256(_mm_loadu_si128(products.as_ptr().cast())),
                _mm256_broadcastsi128_si256(_mm_loadu_si128(products.as_ptr().add(16).cast())),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(count: usize, seed: usize) -> Vec<u8> {
        (0..count)
            .map(|index| (((index + 1) * (2 * seed + 1) * 2654435761) >> 7) as u8)
            .collect()
    }

    fn made(
        outputs: usize,
        length: usize,
        combine: impl FnOnce(&mut [&mut [MaybeUninit<u8>]]),
    ) -> Vec<Vec<u8>> {
        let mut places = vec![vec![MaybeUninit::new(7); length]; outputs];
        combine(&mut places.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        // SAFETY: they were filled before.
        places
            .iter()
            .map(|place| place.iter().map(|byte| unsafe { byte.assume_init() }).collect())
            .collect()
    }

    #[test]
    fn sums_are_those_of_plain_code_for_any_shape_and_length() {
        for (inputs, outputs) in [(1, 1), (2, 3), (10, 20), (3, 6), (33, 7)] {
            for length in [1, 63, 64, 65, 640, 2047] {
                let factors: Vec<Vec<u8>> = (0..outputs).map(|row| bytes(inputs, row)).collect();
                let data: Vec<Vec<u8>> = (0..inputs).map(|input| bytes(length, 100 + input)).collect();
                let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
                let tables = Tables::new(&factors);
                let ours = made(outputs, length, |places| tables.combine(&data, places));
                let plain = made(outputs, length, |places| tables.combine_plainly(&data, places));
                assert_eq!(ours, plain, "{outputs} of {inputs}, {length} bytes");
                let first = factors[0]
                    .iter()
                    .zip(&data)
                    .fold(0, |sum, (&factor, input)| sum ^ multiply(factor, input[0]));
                assert_eq!(plain[0][0], first);
            }
        }
    }
}
