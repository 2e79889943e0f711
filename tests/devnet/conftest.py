"""A fresh in-process chain for each test that asks for one."""

from __future__ import annotations

import pytest
from devnet_support import LocalChain


@pytest.fixture
def local() -> LocalChain:
    return LocalChain()
