//! Where a chunk of a file ends: the rule of `grange_client.drive.chunker`, which is the reference.

/// A word for each value of a byte.
pub type Gear = [u64; 256];

/// How many bytes decide; what is older has been shifted out of the sum.
pub const WINDOW_BYTES: usize = 64;

/// The least length from `first` to below `limit` with which a chunk of `content` may end. `first` is at least
/// `WINDOW_BYTES`, and `content` is not shorter than `limit` but for one byte.
pub fn find_border(content: &[u8], gear: &Gear, first: usize, limit: usize, threshold: u64) -> Option<usize> {
    let mut sum = 0u64;
    for &byte in &content[first - WINDOW_BYTES..first - 1] {
        sum = (sum << 1).wrapping_add(gear[usize::from(byte)]);
    }
    for (index, &byte) in content[first - 1..limit - 1].iter().enumerate() {
        sum = (sum << 1).wrapping_add(gear[usize::from(byte)]);
        if sum < threshold {
            return Some(first + index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of one window, from the rule.
    fn sum_of(window: &[u8], gear: &Gear) -> u64 {
        let newest_first = window.iter().rev().enumerate();
        newest_first.fold(0, |sum, (age, &byte)| {
            sum.wrapping_add(gear[usize::from(byte)] << age)
        })
    }

    #[test]
    fn the_first_length_that_the_rule_allows_is_found() {
        let gear: Gear = std::array::from_fn(|value| (value as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let content: Vec<u8> = (0..5000u32).map(|index| (index * index % 251) as u8).collect();
        for threshold in [u64::MAX / 50, u64::MAX / 5000, 1] {
            for (first, limit) in [(64, 5000), (1000, 1001), (100, 100), (64, 64)] {
                let expected = (first..limit)
                    .find(|&length| sum_of(&content[length - WINDOW_BYTES..length], &gear) < threshold);
                assert_eq!(find_border(&content, &gear, first, limit, threshold), expected);
            }
        }
    }
}
