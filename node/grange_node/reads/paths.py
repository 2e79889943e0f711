"""Paths from a slot's pieces to its root, for anyone who asks for one after the other.

All hashes of a slot go into each path, and asking is free. Decides how many trees are kept, that one is made
at a time, and for how many slots of one renter others wait: who asks for those of its own large slots, one
after the other, must not keep repairers from the paths of all others.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from grange.executors import Executors
from grange.kernel import Tree
from grange.units import format_count
from grange_node.errors import NotFound, TooBusy
from grange_node.pieces.store import Store
from grange_node.records import SlotRecord
from grange_node.slot_key import SlotKey

MAX_HASHES_KEPT: Final = 1 << 17
"""20 MB of memory, for 128 GiB in pieces of 1 MiB."""
MAX_IN_LINE_PER_RENTER: Final = 3
"""Slots of one renter whose trees are being made or waited for."""
HASHES_A_TREE: Final = 16
"""What a tree takes besides its hashes, in hashes."""


class Paths:
    """Out of one store."""

    def __init__(self, store: Store, executors: Executors) -> None:
        self._store = store
        self._executors = executors
        self._trees: OrderedDict[tuple[SlotKey, bytes], Tree] = OrderedDict()
        self._kept_hashes = 0
        self._making = asyncio.Lock()
        self._in_line: Counter[tuple[SlotKey, bytes]] = Counter()
        """Requests for trees that are not there yet."""

    async def of(self, record: SlotRecord, piece: int) -> tuple[bytes, list[bytes]]:
        """A piece's root, and the siblings from it to the root of its slot. Raises NotFound while one
        is not here, TooBusy."""
        key = (record.key, record.agreed.root)
        tree = self._trees.get(key)
        if tree is None:
            with self._waiting(key):
                async with self._making:
                    tree = self._trees.get(key) or await self._make(key, record)
        else:
            self._trees.move_to_end(key)
        return tree.leaf(piece), tree.path(piece)

    @contextmanager
    def _waiting(self, key: tuple[SlotKey, bytes]) -> Iterator[None]:
        if key not in self._in_line:
            beside = sum(slot.renter == key[0].renter for slot, _ in self._in_line)
            if beside >= MAX_IN_LINE_PER_RENTER:
                raise TooBusy("too many paths of this renter's slots are asked for; try again in a moment")
        self._in_line[key] += 1
        try:
            yield
        finally:
            self._in_line[key] -= 1
            if not self._in_line[key]:
                del self._in_line[key]

    async def _make(self, key: tuple[SlotKey, bytes], record: SlotRecord) -> Tree:
        tree = self._trees[key] = await self._executors.on_cpu(
            Tree, await self._executors.on_disk(self._roots, record)
        )
        self._kept_hashes += len(tree) + HASHES_A_TREE
        while self._kept_hashes > MAX_HASHES_KEPT:
            _, oldest = self._trees.popitem(last=False)
            self._kept_hashes -= len(oldest) + HASHES_A_TREE
        return tree

    def _roots(self, record: SlotRecord) -> bytes:
        roots, count = self._store.roots(record.key, range(record.agreed.pieces))
        if len(roots) < record.agreed.pieces:
            raise NotFound(
                f"{count:,} of {format_count(record.agreed.pieces, 'piece')} of this slot are here"
            )
        return b"".join(roots[piece] for piece in range(record.agreed.pieces))
