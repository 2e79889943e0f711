"""Farms of any size without a disk, and the orders that fill them.

All leaves of a slot are one random leaf without zero bytes (a zero would be cheaper to send). Equal subtrees
have equal roots, so the root and any path of a tree of 2^31 leaves take a few hundred hashes. The contract
cannot tell: it sees real leaves, real paths of full length and real positions drawn from block hashes.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from grange import audit
from grange.audit import BookState
from grange.chain import Wallet
from grange.types import Acceptance, Epoch, FarmerId, Held, OrderId, Slot, Terms
from grange.units import LEAF_BYTES


@cache
def root_of_equal_leaves(leaf_hash: bytes, count: int) -> bytes:
    """The root of a tree whose leaves are all the same: one hash for each size of subtree."""
    if count == 1:
        return leaf_hash
    left = 1 << (count - 1).bit_length() - 1
    halves = root_of_equal_leaves(leaf_hash, left) + root_of_equal_leaves(leaf_hash, count - left)
    return hashlib.sha256(halves).digest()


def path_among_equal_leaves(leaf_hash: bytes, count: int, index: int) -> list[bytes]:
    """The path of one of them, bottom first."""
    if count == 1:
        return []
    left = 1 << (count - 1).bit_length() - 1
    if index < left:
        return [
            *path_among_equal_leaves(leaf_hash, left, index),
            root_of_equal_leaves(leaf_hash, count - left),
        ]
    return [
        *path_among_equal_leaves(leaf_hash, count - left, index - left),
        root_of_equal_leaves(leaf_hash, left),
    ]


@dataclass(kw_only=True)
class Farm:
    """A farmer whose leaves are all the same, and its books as the contract has them."""

    id: FarmerId
    operator: Wallet
    leaf: bytes
    books: dict[tuple[Epoch, bool], BookState] = field(default_factory=dict)

    @classmethod
    def of(cls, farmer: FarmerId, operator: Wallet, chance: random.Random) -> Farm:
        """A farm with a leaf of its own."""
        leaf = bytes(chance.randrange(1, 256) for _ in range(LEAF_BYTES))
        return cls(id=farmer, operator=operator, leaf=leaf)

    def root(self, leaf_count: int) -> bytes:
        """The root of a slot of this farm."""
        return root_of_equal_leaves(hashlib.sha256(self.leaf).digest(), leaf_count)

    def book(self, end: Epoch, *, extension: bool = False) -> BookState:
        """The book of a date, new if there is none."""
        return self.books.setdefault((end, extension), BookState(end, extension=extension))

    def proof(self, seed: bytes, epoch: Epoch, samples: int) -> list[bytes]:
        """The words that prove an epoch."""
        leaf_hash = hashlib.sha256(self.leaf).digest()
        words: list[bytes] = []
        for drawn in audit.draw(seed, self.id, epoch, list(self.books.values()), samples):
            path = path_among_equal_leaves(leaf_hash, drawn.entry.leaf_count, drawn.leaf_index)
            words += audit.sample_words(drawn, self.leaf, path)
        return words


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An order ready to be placed, or to extend another, and what to enter in the farms' books once it is."""

    order: OrderId
    terms: Terms
    acceptances: list[Acceptance]
    farms: Sequence[Farm]

    def enter(self, epoch: Epoch, *, extension: bool = False) -> Held:
        """Enter it as placed in an epoch (an extension: as begun after it), and say how it is shown since."""
        for slot, (farm, acceptance) in enumerate(zip(self.farms, self.acceptances, strict=True)):
            farm.book(self.terms.end, extension=extension).add(
                epoch=epoch,
                order=self.order,
                slot=slot,
                root=acceptance.root,
                leaf_count=self.terms.leaf_count,
                rate=acceptance.rate,
            )
        return Held(
            order=self.order,
            leaf_count=self.terms.leaf_count,
            piece_leaves=self.terms.piece_leaves,
            slots=tuple(
                Slot(
                    farmer=one.farmer,
                    root=one.root,
                    rate=one.rate,
                    max_egress_price_per_gib=one.max_egress_price_per_gib,
                    start=Epoch(epoch + 1),
                )
                for one in self.acceptances
            ),
        )
