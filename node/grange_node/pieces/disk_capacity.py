"""How much more the disk takes, for those who ask without being patient: a disk that hangs does not say."""

from __future__ import annotations

from grange.executors import Executors
from grange_node.errors import NodeWorldError
from grange_node.pieces.store import Store


class DiskCapacity:
    """What was measured last."""

    def __init__(self, store: Store, executors: Executors) -> None:
        """Nothing is free before the first `measure`."""
        self._store = store
        self._executors = executors
        self.free_bytes = 0
        """What could still be written without touching the reserve."""

    async def measure(self) -> None:
        """Ask the disk. Raises NodeWorldError, and then nothing is free until the disk has answered again."""
        try:
            self.free_bytes = await self._executors.on_disk(self._store.free_bytes)
        except NodeWorldError:
            self.clear()
            raise

    def clear(self) -> None:
        """Nothing is free before the next `measure`: the disk is not there."""
        self.free_bytes = 0
