"""Files without a name of their own yet: what their process left goes, and only that."""

import os
from pathlib import Path
from typing import Any

import pytest

from grange.storage.temporary_file import create_temporary, names_in, remove_leftovers


def test_temporary_file_that_was_taken_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making and locking it another process may remove it: the writer notices and makes another."""
    directory = os.open(tmp_path, os.O_RDONLY)
    opened = os.open

    def open_and_lose(path: Any, *arguments: Any, **named: Any) -> int:
        descriptor = opened(path, *arguments, **named)
        if len(names_in(directory)) == 1 and not lost:
            lost.append(path)
            remove_leftovers(directory)
        return descriptor

    lost: list[bytes] = []
    monkeypatch.setattr(os, "open", open_and_lose)
    try:
        name, descriptor = create_temporary(directory)
        os.close(descriptor)
    finally:
        os.close(directory)
    assert lost
    assert [os.fsencode(one.name) for one in tmp_path.iterdir()] == [name] != lost
