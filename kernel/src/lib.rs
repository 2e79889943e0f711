//! The byte work of Grange, for `grange.kernel`: what `grange.merkle` and `grange.erasure` do, made fast.
//!
//! The Python modules are the reference: whatever is here gives the same bytes. `sha256` hashes many messages
//! of one length, `merkle` makes trees of them; `field` is the arithmetic of the erasure code, `erasure` makes
//! pieces out of pieces; `borders` finds where chunks of files end. `python` is what Python sees, and where the interpreter's lock is let go. Without the
//! feature of that name the crate can be tested where there is no Python to link to.

pub mod borders;
pub mod erasure;
pub mod field;
pub mod merkle;
#[cfg(feature = "python")]
mod python;
pub mod sha256;
