"""Paths from a slot's pieces to its root, for whoever asks for one after the other.

All hashes of a slot go into each path, and asking is free. Decides how many trees are kept, and that one is
made at a time: who asks for those of the largest slots makes only others wait that ask for paths, too.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from grange.merkle import Tree
from grange_node.errors import NotFound
from grange_node.records import SlotRecord
from grange_node.slot_key import SlotKey
from grange_node.store import Store

MAX_HASHES_KEPT: Final = 1 << 17
"""20 MB of memory, for 128 GiB in pieces of 1 MiB."""
HASHES_A_TREE: Final = 16
"""What a tree takes besides its hashes, in hashes."""


class Paths:
    """Out of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._trees: OrderedDict[tuple[SlotKey, bytes], Tree] = OrderedDict()
        self._kept_hashes = 0
        self._making = asyncio.Lock()

    async def of(self, record: SlotRecord, piece: int) -> tuple[bytes, list[bytes]]:
        """A piece's root, and the siblings from it to the root of its slot. Raises NotFound while one
        is not here."""
        key = (record.key, record.agreed.root)
        async with self._making:
            tree = self._trees.pop(key, None)
            if tree is None:
                tree = await asyncio.to_thread(self._tree, record)
                self._kept_hashes += len(tree) + HASHES_A_TREE
            self._trees[key] = tree
            while self._kept_hashes > MAX_HASHES_KEPT:
                _, oldest = self._trees.popitem(last=False)
                self._kept_hashes -= len(oldest) + HASHES_A_TREE
        return tree.leaf(piece), tree.path(piece)

    def _tree(self, record: SlotRecord) -> Tree:
        roots, count = self._store.roots(record.key, range(record.agreed.pieces))
        if len(roots) < record.agreed.pieces:
            raise NotFound(f"{count} of {record.agreed.pieces} pieces of this slot are here")
        return Tree(b"".join(roots[piece] for piece in range(record.agreed.pieces)))
