"""The pieces that one repair rebuilds, and whether they are what the chain knows."""

from __future__ import annotations

from collections.abc import Sequence

from grange.chain.orders import OrderState
from grange.executors import Executors
from grange.kernel import root_of_hashes
from grange.transfer.slot_upload import Piece, hash_pieces
from grange.units import HASH_BYTES
from grange_node.repair.sources import Sources


class RebuiltPieces:
    """Made of those of an order's other slots."""

    def __init__(self, order: OrderState, sources: Sources, executors: Executors) -> None:
        self._order = order
        self._sources = sources
        self._executors = executors
        self._roots: dict[int, bytearray] = {}
        """Of the pieces of each slot, zero for those that were not rebuilt here."""
        self.size_bytes = 0
        """Of all that were rebuilt."""

    async def make(self, segment: int, slots: Sequence[int]) -> list[Piece]:
        """Those of a segment for these slots. Raises RepairStopped, ReadsClosed and OverBudget."""
        rebuilt = await self._sources.rebuild(segment, slots)
        self.size_bytes += sum(map(len, rebuilt.values()))
        pieces = await hash_pieces(segment, rebuilt, self._executors)
        for piece in pieces:
            known = self._roots.setdefault(piece.slot, bytearray(self._order.geometry.segments * HASH_BYTES))
            known[segment * HASH_BYTES : (segment + 1) * HASH_BYTES] = piece.root
        return pieces

    def are_wrong(self, slot: int) -> bool:
        """Whether all pieces of a slot were rebuilt here, and lead to another root than the order has: then
        its slots do not belong together."""
        roots, unmade = self._roots.get(slot, b""), bytes(HASH_BYTES)
        made = [roots[start : start + HASH_BYTES] for start in range(0, len(roots), HASH_BYTES)]
        if not made or unmade in made:
            return False
        return root_of_hashes(bytes(roots)) != self._order.slots[slot].root
