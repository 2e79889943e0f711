"""`scripts/bench scale`, made small: how much is read is counted; how fast it is depends on the machine."""

from __future__ import annotations

from pathlib import Path

from grange.units import MIB
from speed.big_farm import make_farm, measure_restart
from speed.registry import measure_selection


async def test_a_selection_among_very_many_reads_a_thousand() -> None:
    """Farmers, proofs and requests, however many are registered."""
    figures = await measure_selection(100_000)
    assert figures["registered"] == 100_000
    assert figures["farmers_read"] <= 1_000
    assert figures["proofs_read"] <= 20_000
    assert figures["rpc_requests"] <= 75
    assert figures["probed"] <= 320
    assert figures["chosen"] == 30


async def test_a_farm_with_many_slots_starts_and_proves(tmp_path: Path) -> None:
    """A sample is 3 words, a leaf of 16 and two paths: five are shown."""
    make_farm(tmp_path / "farm", slots=60, slot_bytes=4 * MIB, piece_bytes=MIB)
    figures = await measure_restart(tmp_path / "farm")
    # Leaf paths of 13; 60 slots in 8 books of 7 or 8.
    assert 5 * (3 + 16 + 13) <= figures["proof_words"] <= 5 * (3 + 16 + 13 + 3)
    assert figures["restart_s"] > 0
