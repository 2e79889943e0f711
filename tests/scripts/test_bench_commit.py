"""`scripts/bench commit`, made small: what is read and sent is counted; how fast depends on the machine."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench-commit"


def test_a_second_backup_sends_what_changed_and_one_without_change_nothing() -> None:
    loader = SourceFileLoader("bench_commit", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    bench = module_from_spec(spec)
    loader.exec_module(bench)
    runs = bench.measure(250, 330)["runs"]
    first, unchanged, changed = (runs[name] for name in ("first", "unchanged", "one file changed"))
    assert (first["files_read"], first["commits"]) == (250, 1)
    assert first["chunks_sent"] > 250
    assert (unchanged["files_read"], unchanged["chunks_sent"], unchanged["commits"]) == (0, 0, 0)
    assert (changed["files_read"], changed["commits"]) == (1, 1)
    assert 0 < changed["chunks_sent"] < 10
