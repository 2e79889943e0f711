"""Building the proof of an epoch from ledger and store.

Which leaves are asked for, and in what words they are answered, is `grange.audit`'s to say. Decided
here: where the leaves are found, that a piece is hashed again before a word of it is used, and that all
of what is missing is named, not only the first.
"""

from __future__ import annotations

from grange import kernel
from grange.audit import Drawn, draw, lost_words, sample_words, verify_proof
from grange.types import Epoch
from grange.units import LEAF_BYTES, format_count
from grange_node.config import Config
from grange_node.errors import DataMissing, NodeWorldError, NotFound, PieceMissing, Refusal
from grange_node.ledger.books import books_from
from grange_node.ledger.ledger import Ledger
from grange_node.pieces.store import Store
from grange_node.slot_key import SlotKey

"""Under this name an error says which piece keeps others from being shown."""


def build_proof(config: Config, store: Store, ledger: Ledger, epoch: Epoch, seed: bytes) -> list[bytes]:
    """The words that prove an epoch, checked as the contract will check them.

    Raises DataMissing, which names every piece that is asked for and is not here or not whole.
    """
    books = books_from(ledger.entries(epoch))
    samples = config.parameters.samples
    words: list[bytes] = []
    missing: list[str] = []
    damaged: list[tuple[SlotKey, int]] = []
    for drawn in draw(seed, config.farmer, epoch, books, samples):
        try:
            words += _answer(store, ledger, drawn)
        except (NodeWorldError, Refusal) as error:
            if error.message not in missing:
                missing.append(error.message)
            record = ledger.acceptance(drawn.entry.order, drawn.entry.slot)
            if record is not None:
                piece = error.values.get("gone", drawn.leaf_index // record.agreed.piece_leaves)
                damaged.append((record.key, piece))
    if missing:
        raise DataMissing(f"epoch {epoch} cannot be proven: {'; '.join(missing)}", pieces=damaged)
    verify_proof(
        seed=seed,
        farmer=config.farmer,
        epoch=epoch,
        current_epoch=epoch,
        books=books,
        samples=samples,
        words=words,
    )
    return words


def _answer(store: Store, ledger: Ledger, drawn: Drawn) -> list[bytes]:
    if drawn.lost:
        return lost_words(drawn)
    entry = drawn.entry
    record = ledger.acceptance(entry.order, entry.slot)
    if record is None:
        raise NotFound(f"order {entry.order.hex()[:12]} slot {entry.slot} is not in the ledger")
    terms = record.agreed
    piece_index, leaf_index = divmod(drawn.leaf_index, terms.piece_leaves)
    piece = store.read_verified(record.key, piece_index)
    held = store.pieces(record.key)
    if len(held) != terms.pieces:
        # The one that is drawn is whole, but no path leads from it to the root.
        gone = next(index for index in range(terms.pieces) if index not in held)
        raise PieceMissing(f"{record.key} lacks {format_count(terms.pieces - len(held), 'piece')}", gone=gone)
    roots = b"".join(held[index].root for index in range(terms.pieces))
    leaf_path = kernel.path(kernel.leaf_hashes(piece), leaf_index) + kernel.path(roots, piece_index)
    leaf = piece[leaf_index * LEAF_BYTES : (leaf_index + 1) * LEAF_BYTES]
    return sample_words(drawn, leaf, leaf_path)
