"""The repair story of the demo as a test: farmers die, others refill, more die, and all comes back."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from e2e_tree import plain_file
from rich.console import Console

from stories.repair import KILLED_FIRST, KILLED_LATER, READ_MARGIN, K, Repair
from stories.spine import Setting

SIZE_BYTES = 30_000_000


@pytest.mark.long
async def test_what_vanished_farmers_kept_is_rebuilt_without_its_renter(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    plain_file(source / "one.bin", SIZE_BYTES, seed=1)
    said = io.StringIO()
    setting = Setting(folder=tmp_path / "story", engine="py-evm", directory=source)
    setting.folder.mkdir()
    outcome = await Repair(setting, Console(file=said, width=100)).play()
    assert outcome.held, "\n".join([*outcome.failures, said.getvalue()])
    assert (len(outcome.killed), len(outcome.killed_later)) == (KILLED_FIRST, KILLED_LATER)
    shown = outcome.as_json()
    assert shown["healed"] is shown["identical"] is True
    assert shown["renter_online_during_repair"] is False
    if outcome.refill_transactions == 1:
        assert outcome.read_per_byte_rebuilt <= READ_MARGIN * K / KILLED_FIRST
