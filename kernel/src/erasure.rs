//! The erasure code that `grange.fragments` defines: any k of n pieces give all others.
//!
//! Piece i < k is block i itself. Piece i >= k is the sum, over the blocks j, of block j divided by i XOR j: a Cauchy
//! matrix, of which every square part can be inverted.

mod products;

use std::mem::MaybeUninit;

use crate::field::{invert, multiply};
pub use products::is_fast;

/// How much of each block is worked on at a time: the blocks and a few of the pieces stay in the nearest cache.
const STRIP_BYTES: usize = 2048;

/// What makes piece `index` out of the k blocks: one factor for each.
fn factors(k: usize, index: usize) -> Vec<u8> {
    (0..k)
        .map(|block| match index < k {
            true => u8::from(index == block),
            false => invert((index ^ block) as u8),
        })
        .collect()
}

/// What makes the pieces `wanted` out of the k pieces `have`: a row of k factors for each.
///
/// The numbers in `have` differ, and all are below 256.
pub fn factors_between(have: &[usize], wanted: &[usize]) -> Vec<Vec<u8>> {
    let k = have.len();
    let blocks_from_have = inverse(have.iter().map(|&index| factors(k, index)).collect());
    wanted
        .iter()
        .map(|&index| {
            let of_blocks = factors(k, index);
            (0..k)
                .map(|column| {
                    let products = of_blocks.iter().zip(&blocks_from_have);
                    products.fold(0, |sum, (&factor, row)| sum ^ multiply(factor, row[column]))
                })
                .collect()
        })
        .collect()
}

/// The inverse of a matrix that has one, by Gauss and Jordan.
fn inverse(mut matrix: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let k = matrix.len();
    for (index, row) in matrix.iter_mut().enumerate() {
        row.extend((0..k).map(|column| u8::from(column == index)));
    }
    for column in 0..k {
        let pivot = (column..k).find(|&row| matrix[row][column] != 0);
        matrix.swap(
            column,
            pivot.expect("every square part of the matrix has an inverse"),
        );
        let factor = invert(matrix[column][column]);
        for value in &mut matrix[column] {
            *value = multiply(*value, factor);
        }
        let pivot = matrix[column].clone();
        for (_, row) in matrix.iter_mut().enumerate().filter(|(row, _)| *row != column) {
            let factor = row[column];
            for (value, &other) in row.iter_mut().zip(&pivot) {
                *value ^= multiply(factor, other);
            }
        }
    }
    matrix.into_iter().map(|row| row[k..].to_vec()).collect()
}

/// Fill all of each output with the sum of the inputs times its row of factors. All have one length.
pub fn combine(factors: &[Vec<u8>], inputs: &[&[u8]], outputs: &mut [&mut [MaybeUninit<u8>]]) {
    let products = products::Tables::new(factors);
    let length = inputs[0].len();
    assert!(inputs.iter().all(|input| input.len() == length));
    assert!(outputs.iter().all(|output| output.len() == length));
    for start in (0..length).step_by(STRIP_BYTES) {
        let end = length.min(start + STRIP_BYTES);
        let strips: Vec<&[u8]> = inputs.iter().map(|input| &input[start..end]).collect();
        let mut places: Vec<&mut [MaybeUninit<u8>]> =
            outputs.iter_mut().map(|output| &mut output[start..end]).collect();
        products.combine(&strips, &mut places);
    }
}
