"""Whose clock is off is told by those that refused last."""

from grange.peer.clocks import MAX_WITNESSES, Clocks
from grange.types import FarmerId


def test_what_farmers_said_long_ago_of_a_clock_is_forgotten() -> None:
    """A process that runs for years is else told that its clock is off long after it was set right."""
    clocks = Clocks()
    for number in range(MAX_WITNESSES):
        clocks.note(FarmerId(number), {"now": 600}, 0)
    assert clocks.ours_is_behind_by(0) == 600
    for number in range(MAX_WITNESSES):
        clocks.note(FarmerId(1_000 + number), {"now": 7_200}, 0)
    assert clocks.ours_is_behind_by(0) == 7_200
    assert len(clocks._ahead) == MAX_WITNESSES
