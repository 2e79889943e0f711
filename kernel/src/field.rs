//! GF(2^8) with x^8+x^4+x^3+x^2+1, the field of the erasure code.

const POLYNOMIAL: u16 = 0x11d;

/// Logarithms, and powers twice in a row so that sums of two logarithms need no reduction.
static TABLES: ([u8; 256], [u8; 510]) = tables();

const fn tables() -> ([u8; 256], [u8; 510]) {
    let (mut log, mut exp) = ([0; 256], [0; 510]);
    let mut value: u16 = 1;
    let mut power = 0;
    while power < 255 {
        exp[power] = value as u8;
        exp[power + 255] = value as u8;
        log[value as usize] = power as u8;
        value <<= 1;
        if value & 0x100 != 0 {
            value ^= POLYNOMIAL;
        }
        power += 1;
    }
    (log, exp)
}

/// The product.
pub fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    let (log, exp) = &TABLES;
    exp[log[a as usize] as usize + log[b as usize] as usize]
}

/// One divided by `a`, which is not 0.
pub fn invert(a: u8) -> u8 {
    assert!(a != 0, "nothing times zero is one");
    let (log, exp) = &TABLES;
    exp[255 - log[a as usize] as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_shifting_and_adding() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let (mut product, mut shifted) = (0u16, u16::from(a));
                for bit in 0..8 {
                    if b >> bit & 1 == 1 {
                        product ^= shifted;
                    }
                    shifted <<= 1;
                    if shifted & 0x100 != 0 {
                        shifted ^= POLYNOMIAL;
                    }
                }
                assert_eq!(u16::from(multiply(a, b)), product);
            }
        }
    }

    #[test]
    fn what_is_inverted_gives_one() {
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1);
        }
    }
}
