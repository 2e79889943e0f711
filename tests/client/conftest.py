"""Worlds to store in, and directories to store."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from client_fakes import World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Eight honest farmers and a renter with a thousand tokens."""
    async with open_world(tmp_path / "home", 8) as opened:
        yield opened


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with everything that a directory can have."""
    root = tmp_path / "tree"
    (root / "inner" / "empty").mkdir(parents=True)
    (root / "small.txt").write_bytes(b"some words\n")
    (root / "zero").touch()
    (root / "inner" / "data.bin").write_bytes(os.urandom(70_000))
    (root / "inner" / "run").write_bytes(b"#!/bin/sh\n")
    (root / "inner" / "run").chmod(0o755)
    (root / "link").symlink_to("inner/data.bin")
    (root / "loop").symlink_to("loop")
    os.utime(root / "small.txt", ns=(1, 1_234_567_890_123_456_789))
    os.utime(root / "inner", ns=(1, 1_000_000_000_000_000_001))
    return root
