//! What Python sees: the module `grange_kernel`.
//!
//! Anything with a buffer of bytes goes in. Wrong sizes raise ValueError; `grange.compiled` checks them before,
//! with the words of `grange.merkle`. The interpreter's lock is let go while there is much to hash. As with
//! Python's own hashlib, a caller that changes a buffer meanwhile gets the hash of neither state.

use std::mem::MaybeUninit;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyIndexError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::borders;
use crate::erasure;
use crate::merkle;
use crate::sha256::{BLOCK_BYTES, HASH_BYTES, instructions};

/// Counts up whenever a function here takes or gives something else: `grange.kernel` uses only the one it knows.
const INTERFACE: u32 = 2;

/// With less to hash than this, letting go of the lock and waiting for it again costs more than it gives others.
const LOCK_FREE_BYTES: usize = 16 * 1024;

/// Bytes of a Python object, kept where they are for as long as this lives.
struct Bytes(PyBuffer<u8>);

impl Bytes {
    fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("the bytes do not lie in a row"));
        }
        Ok(Bytes(buffer))
    }

    fn get(&self) -> &[u8] {
        let count = self.0.len_bytes();
        if count == 0 {
            return &[];
        }
        // SAFETY: the buffer is contiguous and neither moves nor shrinks while it is exported to us. Another
        // thread may write to it; what is read then is one byte or the other, and no decision about memory
        // hangs on it.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), count) }
    }
}

/// Run `work` on so many bytes, without the interpreter's lock if they are many.
fn run<T: Send>(py: Python<'_>, bytes: usize, work: impl FnOnce() -> T + Send) -> T {
    if bytes < LOCK_FREE_BYTES {
        work()
    } else {
        py.detach(work)
    }
}

fn check_leaf_bytes(leaf_bytes: usize) -> PyResult<()> {
    if leaf_bytes == 0 || !leaf_bytes.is_multiple_of(BLOCK_BYTES) {
        return Err(PyValueError::new_err(format!(
            "a leaf is a multiple of {BLOCK_BYTES} bytes, not {leaf_bytes}"
        )));
    }
    Ok(())
}

fn check_whole(count: usize, unit: usize) -> PyResult<()> {
    if count == 0 || !count.is_multiple_of(unit) {
        return Err(PyValueError::new_err(format!(
            "{count} bytes are not a whole number of {unit} bytes"
        )));
    }
    Ok(())
}

/// The hashes of all leaves of `data` in a row.
#[pyfunction]
fn leaf_hashes<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    leaf_bytes: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    check_leaf_bytes(leaf_bytes)?;
    let data = Bytes::of(data)?;
    let data = data.get();
    check_whole(data.len(), leaf_bytes)?;
    let hashes = run(py, data.len(), || merkle::leaf_hashes(data, leaf_bytes));
    Ok(PyBytes::new(py, &hashes))
}

/// The root over the leaves of each of `pieces`, in one go.
#[pyfunction]
fn merkle_roots<'py>(
    py: Python<'py>,
    pieces: Vec<Bound<'py, PyAny>>,
    leaf_bytes: usize,
) -> PyResult<Bound<'py, PyList>> {
    check_leaf_bytes(leaf_bytes)?;
    let pieces: Vec<Bytes> = pieces.iter().map(Bytes::of).collect::<PyResult<_>>()?;
    let pieces: Vec<&[u8]> = pieces.iter().map(Bytes::get).collect();
    for piece in &pieces {
        check_whole(piece.len(), leaf_bytes)?;
    }
    let count = pieces.iter().map(|piece| piece.len()).sum();
    let roots: Vec<merkle::Hash> = run(py, count, || {
        pieces
            .iter()
            .map(|piece| merkle::root(piece, leaf_bytes))
            .collect()
    });
    PyList::new(py, roots.iter().map(|root| PyBytes::new(py, root)))
}

/// The root over the leaves of `data`.
#[pyfunction]
fn merkle_root<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    leaf_bytes: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    check_leaf_bytes(leaf_bytes)?;
    let data = Bytes::of(data)?;
    let data = data.get();
    check_whole(data.len(), leaf_bytes)?;
    let root = run(py, data.len(), || merkle::root(data, leaf_bytes));
    Ok(PyBytes::new(py, &root))
}

/// The root over hashes in a row.
#[pyfunction]
fn root_of_hashes<'py>(py: Python<'py>, hashes: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let hashes = Bytes::of(hashes)?;
    let hashes = hashes.get();
    check_whole(hashes.len(), HASH_BYTES)?;
    let root = run(py, hashes.len(), || merkle::root_of_hashes(hashes));
    Ok(PyBytes::new(py, &root))
}

/// The pieces `wanted`, by number, out of the k pieces with the numbers `have`: see `grange.fragments`.
#[pyfunction]
fn code<'py>(
    py: Python<'py>,
    have: Vec<usize>,
    pieces: Vec<Bound<'py, PyAny>>,
    wanted: Vec<usize>,
) -> PyResult<Bound<'py, PyList>> {
    let pieces: Vec<Bytes> = pieces.iter().map(Bytes::of).collect::<PyResult<_>>()?;
    let pieces: Vec<&[u8]> = pieces.iter().map(Bytes::get).collect();
    let length = pieces.first().map_or(0, |piece| piece.len());
    check_pieces(&have, &pieces, &wanted, length)?;
    let mut made: Vec<Unfilled> = wanted
        .iter()
        .map(|_| Unfilled::new(py, length))
        .collect::<PyResult<_>>()?;
    let mut places: Vec<&mut [MaybeUninit<u8>]> = made.iter_mut().map(Unfilled::place).collect();
    run(py, length * pieces.len(), || {
        let factors = erasure::factors_between(&have, &wanted);
        erasure::combine(&factors, &pieces, &mut places);
    });
    PyList::new(py, made.into_iter().map(|filled| filled.object))
}

/// The least length from `first` to below `limit` with which a chunk of `content` may end; None if there is none.
#[pyfunction]
fn find_border(
    py: Python<'_>,
    content: &Bound<'_, PyAny>,
    gear: &Bound<'_, PyAny>,
    first: usize,
    limit: usize,
    threshold: u64,
) -> PyResult<Option<usize>> {
    let (content, gear) = (Bytes::of(content)?, Bytes::of(gear)?);
    let (content, gear) = (content.get(), gear.get());
    if gear.len() != 8 * 256 {
        return Err(PyValueError::new_err("a gear has 256 words of 8 bytes"));
    }
    if first >= limit {
        return Ok(None);
    }
    if first < borders::WINDOW_BYTES || limit - 1 > content.len() {
        return Err(PyValueError::new_err("no such lengths in this content"));
    }
    let words: borders::Gear = std::array::from_fn(|value| {
        let word = &gear[8 * value..8 * value + 8];
        u64::from_be_bytes(word.try_into().expect("8 bytes"))
    });
    Ok(run(py, limit - first, || {
        borders::find_border(content, &words, first, limit, threshold)
    }))
}

fn check_pieces(have: &[usize], pieces: &[&[u8]], wanted: &[usize], length: usize) -> PyResult<()> {
    let mut numbers = have.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    let known = have.iter().chain(wanted).all(|&number| number < 256);
    if !known || numbers.len() != have.len() || have.len() != pieces.len() {
        return Err(PyValueError::new_err(
            "pieces have numbers below 256, each its own",
        ));
    }
    if length == 0 || pieces.iter().any(|piece| piece.len() != length) {
        return Err(PyValueError::new_err(
            "pieces have as many bytes as one another, and one at least",
        ));
    }
    Ok(())
}

/// A bytes object that nobody else has seen yet, and in which nothing stands.
struct Unfilled<'py> {
    object: Bound<'py, PyBytes>,
    length: usize,
}

impl<'py> Unfilled<'py> {
    fn new(py: Python<'py>, length: usize) -> PyResult<Self> {
        let size = ffi::Py_ssize_t::try_from(length)?;
        // SAFETY: what is returned is a new object of ours, or null with an exception.
        let object = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), size))?
        };
        Ok(Unfilled {
            object: object.cast_into()?,
            length,
        })
    }

    fn place(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the object has room for so many bytes, and nobody else looks at them.
        unsafe {
            std::slice::from_raw_parts_mut(ffi::PyBytes_AsString(self.object.as_ptr()).cast(), self.length)
        }
    }
}

/// All levels over hashes in a row.
#[pyclass(frozen)]
struct Tree(merkle::Tree);

#[pymethods]
impl Tree {
    #[new]
    fn new(py: Python<'_>, hashes: &Bound<'_, PyAny>) -> PyResult<Self> {
        let hashes = Bytes::of(hashes)?;
        let hashes = hashes.get();
        check_whole(hashes.len(), HASH_BYTES)?;
        Ok(Tree(run(py, hashes.len(), || merkle::Tree::new(hashes))))
    }

    fn __len__(&self) -> usize {
        self.0.count()
    }

    /// The hash at the bottom. Raises IndexError when there is none.
    fn leaf<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        let leaf = self.0.leaf(index).ok_or(PyIndexError::new_err(index))?;
        Ok(PyBytes::new(py, leaf))
    }

    /// The sibling hashes from leaf `index` up to the root, bottom first. Raises IndexError.
    fn path<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyList>> {
        self.0.leaf(index).ok_or(PyIndexError::new_err(index))?;
        let path = self.0.path(index);
        PyList::new(py, path.iter().map(|hash| PyBytes::new(py, hash)))
    }
}

/// The leaf hashes of a piece that arrives in chunks of any size. One thread at a time may use it.
#[pyclass]
struct PieceHasher(merkle::PieceHasher);

#[pymethods]
impl PieceHasher {
    #[new]
    fn new(leaf_bytes: usize) -> PyResult<Self> {
        check_leaf_bytes(leaf_bytes)?;
        Ok(PieceHasher(merkle::PieceHasher::new(leaf_bytes)))
    }

    /// How much has arrived.
    #[getter]
    fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }

    /// Take the next bytes of the piece.
    fn update(&mut self, py: Python<'_>, chunk: &Bound<'_, PyAny>) -> PyResult<()> {
        let chunk = Bytes::of(chunk)?;
        let chunk = chunk.get();
        let hasher = &mut self.0;
        run(py, chunk.len(), || hasher.update(chunk));
        Ok(())
    }

    /// The hashes of all leaves in a row; None while a leaf is incomplete, or for nothing.
    fn leaf_hashes<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        Some(PyBytes::new(py, self.0.leaf_hashes()?))
    }

    /// The root over what has arrived; None while a leaf is incomplete, or for nothing.
    fn root<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let hashes = self.0.leaf_hashes()?;
        let root = run(py, hashes.len(), || merkle::root_of_hashes(hashes));
        Some(PyBytes::new(py, &root))
    }
}

#[pymodule]
fn grange_kernel(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("INTERFACE", INTERFACE)?;
    module.add("INSTRUCTIONS", instructions())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("CODES_FAST", erasure::is_fast())?;
    module.add_function(wrap_pyfunction!(code, module)?)?;
    module.add_function(wrap_pyfunction!(find_border, module)?)?;
    module.add_function(wrap_pyfunction!(leaf_hashes, module)?)?;
    module.add_function(wrap_pyfunction!(merkle_root, module)?)?;
    module.add_function(wrap_pyfunction!(merkle_roots, module)?)?;
    module.add_function(wrap_pyfunction!(root_of_hashes, module)?)?;
    module.add_class::<Tree>()?;
    module.add_class::<PieceHasher>()
}
