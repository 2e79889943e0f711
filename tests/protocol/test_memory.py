"""Keeping freed memory."""

import subprocess
import sys

import pytest

from grange.memory import SWITCH, keep_freed_memory

PAGE_FAULTS = """
import resource
from grange.memory import keep_freed_memory
keep_freed_memory(64 << 20)
for _ in range(5):
    bytearray(1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    bytearray(1 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_switched_off_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person who runs it can leave everything as the system has it."""
    monkeypatch.setenv(SWITCH, "0")
    assert keep_freed_memory(1 << 20) is False


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted on Linux only")
def test_memory_is_used_again() -> None:
    """A hundred mebibytes taken and freed one by one touch hardly a fresh page."""
    faults = int(subprocess.check_output([sys.executable, "-c", PAGE_FAULTS]))
    assert faults < 1000
