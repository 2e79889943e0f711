"""A farm for each test, in memory but for its disk."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from node_support import Farm, open_farm


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[Farm]:
    """A fresh farm on a fresh chain; its loops stand still."""
    async with open_farm(tmp_path / "data") as opened:
        yield opened
