"""`scripts/bench start` measures what it says: both readers read the same event and write the same call."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench-start"


def bench_start() -> ModuleType:
    """The script, which has no suffix, as a module."""
    loader = SourceFileLoader("bench_start", str(SCRIPT))
    spec = spec_from_loader("bench_start", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_both_readers_do_the_same_work() -> None:
    work = bench_start().codec_work()
    done = {name: one() for name, one in work.items()}
    assert done["event, grange.chain"].name == done["event, web3"]["event"] == "SlotFilled"
    assert "0x" + done["call, grange.chain"].hex() == done["call, web3"]
