"""`scripts/bench throughput --parts`: what each part of moving bytes costs by itself."""

from pathlib import Path

import pytest

from speed import parts


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "TURNS", 2)
    monkeypatch.setattr(parts, "PIECES_A_TURN", 2)


def test_each_side_of_each_way_has_its_parts_and_farmers_get_more_than_the_renter_has(tmp_path: Path) -> None:
    """Of 1 of 3, three bytes are hashed, sent and written for one that is sealed."""
    measured = parts.parts(1, 3, tmp_path)
    assert set(measured) == {"up, client", "up, farmers", "down, farmers", "down, client"}
    assert all(seconds > 0 for figures in measured.values() for seconds in figures.values())
    up, stored = measured["up, client"], measured["up, farmers"]
    assert up["hashing"] == stored["hashing"]
    assert stored["receiving"] == pytest.approx(3 * measured["down, client"]["receiving"])
    assert stored["writing, fsync, rename"] == pytest.approx(3 * measured["down, client"]["writing"])


def test_what_is_done_twice_as_often_costs_twice_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the work itself sets: a second for each piece."""
    seconds = 0.0

    def work() -> None:
        nonlocal seconds
        seconds += 1.0

    def twice() -> None:
        work()
        work()

    monkeypatch.setattr(parts.time, "thread_time", lambda: seconds)
    once = parts.seconds_per_gb(work)
    assert once == pytest.approx(parts.GIGABYTE / parts.MAX_PIECE_BYTES)
    assert parts.seconds_per_gb(twice) == pytest.approx(2 * once)
