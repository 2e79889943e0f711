"""Slots of a placed order made again, out of what its farmers still give: sealed as they were, bit by bit.

The same key seals the same block in the same place to the same bytes, so what comes out leads to the roots on
chain.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor

from grange.kernel import Codec, merkle_roots
from grange.seal import OrderKey
from grange.transfer.slot_upload import Piece
from grange_client.downloads.reader import OrderReader


class SlotRebuilder:
    """Gives the pieces of any slot of one order again."""

    def __init__(self, reader: OrderReader, key: OrderKey, executor: Executor) -> None:
        self._reader = reader
        self._key = key
        self._executor = executor
        self._codec = Codec(reader.geometry.k, reader.geometry.n)

    async def pieces(self, segment: int, slots: Sequence[int]) -> list[Piece]:
        """Those of a segment for these slots. Raises NotEnoughFarmers and what `reader` raises."""
        k = self._reader.geometry.k
        plain = [data async for _, data in self._reader.blocks(range(segment * k, (segment + 1) * k))]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._make, segment, plain, slots)

    def _make(self, segment: int, plain: Sequence[bytes], slots: Sequence[int]) -> list[Piece]:
        k = len(plain)
        sealed = [self._key.seal(segment * k + column, data) for column, data in enumerate(plain)]
        parity = self._codec.parity(sealed) if any(slot >= k for slot in slots) else []
        made = [sealed[slot] if slot < k else parity[slot - k] for slot in slots]
        roots = merkle_roots(made)
        return [
            Piece(slot=slot, segment=segment, data=data, root=root)
            for slot, data, root in zip(slots, made, roots, strict=True)
        ]
