//! The byte work of Grange, for `grange.kernel`: the same functions as `grange.merkle`, made fast.
//!
//! The Python modules are the reference: whatever is here gives the same bytes. `sha256` hashes many messages
//! of one length, `merkle` makes trees of them, `python` is what Python sees and where the interpreter's lock
//! is let go. Without the feature `python` the crate can be tested where there is no Python to link to.

pub mod merkle;
#[cfg(feature = "python")]
mod python;
pub mod sha256;
