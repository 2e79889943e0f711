"""Slots of a placed order made again, out of what its farmers still give: sealed as they were, bit by bit.

The same key seals the same block in the same place to the same bytes, so what comes out leads to the roots on
chain. Decides that one segment is in memory at a time. Leaves fetching to `reader` and sending to `extend`.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Executor

from grange.erasure import Codec
from grange.kernel import merkle_roots
from grange.seal import OrderKey
from grange_client.files.encode import Piece
from grange_client.reader import OrderReader


async def regrown(
    reader: OrderReader, key: OrderKey, slots: Sequence[int], executor: Executor
) -> AsyncGenerator[list[Piece], None]:
    """The pieces of these slots, segment by segment. Raises NotEnoughFarmers and what `reader` raises."""
    loop = asyncio.get_running_loop()
    geometry, plain, segment = reader.geometry, list[bytes](), 0
    codec = Codec(geometry.k, geometry.n)
    async for _, data in reader.blocks(range(geometry.blocks)):
        plain.append(data)
        if len(plain) == geometry.k:
            yield await loop.run_in_executor(executor, _pieces, codec, key, segment, plain, slots)
            plain, segment = [], segment + 1


def _pieces(
    codec: Codec, key: OrderKey, segment: int, plain: list[bytes], slots: Sequence[int]
) -> list[Piece]:
    k = len(plain)
    sealed = [key.seal(segment * k + column, data) for column, data in enumerate(plain)]
    parity = codec.parity(sealed) if any(slot >= k for slot in slots) else []
    pieces = [sealed[slot] if slot < k else parity[slot - k] for slot in slots]
    return [
        Piece(slot=slot, segment=segment, data=data, root=root)
        for slot, data, root in zip(slots, pieces, merkle_roots(pieces), strict=True)
    ]
