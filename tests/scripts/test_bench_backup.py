"""`scripts/bench backup`, made small: what is sent is counted and what comes back is compared; how fast that
is depends on the machine. Programs that are not installed are left out by name."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from grange.units import MIB
from speed.backup import BackupOptions, measure_backup, merged
from speed.backup_targets import judge
from speed.backup_tools import KNOWN, Command, why_left_out
from speed.measured_command import measured
from speed.trees import Tree, check_same, files_below, make_large, make_small
from speed.wire import counted_wire

INSTALLED = [name for name in KNOWN if not why_left_out(name)]
OPTIONS = BackupOptions(peers=("kopia", "tar"), files=120, large_mib=32, farmers=2, k=1, n=2)
MAKERS = {
    "small": lambda root, seed: make_small(root, 120, seed),
    "large": lambda r, s: make_large(r, MIB, s),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return await measure_backup(OPTIONS, tmp_path_factory.mktemp("backup"))


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_sent_is_the_content_with_its_code_and_a_second_time_what_changed(
    figures: dict[str, Any],
) -> None:
    """Random bytes can't be made smaller; a small file costs no more than itself."""
    for tree in figures["trees"].values():
        grange = tree["tools"]["grange"]
        first, second = grange["first"], grange["second"]
        assert first["sent_bytes"] == 2 * first["content_bytes"] > 0
        assert second["content_bytes"] < first["content_bytes"]
        # What is signed and asked, and nothing of what is stored.
        assert tree["tools"]["grange"]["unchanged"]["sent_bytes"] < 10_000
    large = figures["trees"]["large"]
    assert (
        large["size_bytes"] <= large["tools"]["grange"]["first"]["content_bytes"] < 1.4 * large["size_bytes"]
    )
    small = figures["trees"]["small"]
    assert small["files"] == 120
    assert small["tools"]["grange"]["first"]["content_bytes"] < small["size_bytes"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_restore_comes_from_the_farmers_and_a_partial_one_takes_what_it_needs(
    figures: dict[str, Any],
) -> None:
    for name, tree in figures["trees"].items():
        whole, part = (tree["tools"]["grange"][step] for step in ("restore", "partial_restore"))
        assert whole["written_bytes"] == tree["size_bytes"]
        assert 0 < part["received_bytes"] <= whole["received_bytes"]
        if name == "large":
            assert part["written_bytes"] * 8 == whole["written_bytes"] <= whole["received_bytes"]
            assert part["received_bytes"] < whole["received_bytes"] / 3


@pytest.mark.asyncio(loop_scope="module")
async def test_programs_that_are_not_there_are_left_out_by_name(figures: dict[str, Any]) -> None:
    assert figures["left_out"].keys() == {"kopia", "tar"}
    assert figures["versions"].keys() == {"grange"}
    for tree in figures["trees"].values():
        assert tree["tools"].keys() == {"grange"}
        assert tree["tools"]["grange"].keys() == {
            "first",
            "second",
            "unchanged",
            "restore",
            "partial_restore",
        }
    assert figures["targets"]["large.restore_seconds"]["met"] is None
    assert figures["targets_met"] is None


@pytest.mark.skipif(not INSTALLED, reason="no program is installed")
@pytest.mark.parametrize("name", INSTALLED)
def test_programs_that_are_there_are_used_as_they_are_meant_to(tmp_path: Path, name: str) -> None:
    """What they store grows with what changed; all and parts come back under the names of the tree."""
    tree, tool = make_large(tmp_path / "tree", 32 * MIB, 1), KNOWN[name](tmp_path / name)
    sizes = []
    for command in (tool.set_up(), tool.back_up(tree), tool.back_up(tree)):
        run_measured(command)
        sizes.append(tool.stored_bytes())
        if len(sizes) == 2:
            tree.change(0.01)
    first, second = sizes[1] - sizes[0], sizes[2] - sizes[1]
    assert tree.size_bytes() <= first < 1.1 * tree.size_bytes()
    assert 0.01 * tree.size_bytes() <= second < first
    for part in ("", tree.part):
        target = tmp_path / f"back-{bool(part)}"
        target.mkdir()
        ran = run_measured(tool.restore(tree, target, part))
        check_same(tree, target, part)
        assert sum(1 for _ in files_below(target)) == sum(1 for _ in tree.files(part))
        traffic = tool.traffic("", grown_bytes=0, read_bytes=ran["read_bytes"])
        assert traffic.received_bytes is None or traffic.received_bytes >= tree.size_bytes(part)
    assert tool.version[0].isdigit()


def run_measured(command: Command) -> dict[str, Any]:
    return measured(command.folder, list(command.arguments), environment=command.environment)


def test_a_program_that_is_known_and_not_installed_says_which_package_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert why_left_out("borg") == "it is not installed: apt-get install borgbackup"


@pytest.mark.parametrize("kind", MAKERS)
def test_a_number_makes_the_same_tree_again_and_a_hundredth_of_it_changes(tmp_path: Path, kind: str) -> None:
    one, other = (MAKERS[kind](tmp_path / name, 7) for name in ("one", "other"))
    check_same(one, other.root)
    before = contents(one)
    one.change(0.01)
    after = contents(one)
    assert before.keys() == after.keys()
    assert {name: len(data) for name, data in before.items()} == {n: len(data) for n, data in after.items()}
    changed = [name for name in before if before[name] != after[name]]
    if kind == "small":
        assert len(changed) == 2
    else:
        assert len(changed) == 8
        differing = sum(a != b for name in before for a, b in zip(before[name], after[name], strict=True))
        assert 0.009 * MIB < differing <= 0.01 * MIB
    with pytest.raises(SystemExit, match="not what was backed up"):
        check_same(one, other.root)
    check_same(one, one.root, one.part)


def contents(tree: Tree) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in files_below(tree.root)}


def test_a_command_is_measured_with_what_it_reads_and_by_its_own_memory(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(3 * MIB))
    read = "data = open('data', 'rb').read(); held = b'x' * (200 << 20); print(len(data))"
    figures = measured(tmp_path, [sys.executable, "-c", read])
    assert figures["said"] == f"{3 * MIB}\n"
    assert figures["read_bytes"] is None or figures["read_bytes"] >= 3 * MIB
    assert 200 < figures["peak_memory_mb"] < 2000
    assert figures["seconds"] > 0


def test_a_command_that_fails_ends_the_measurement_with_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="ended with 3"):
        measured(tmp_path, [sys.executable, "-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"])
    assert "why" in capsys.readouterr().err


async def test_bytes_are_counted_at_the_socket_but_for_the_ports_that_are_left_out() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bytes(len(await request.read()) * 2))

    app = web.Application()
    app.router.add_put("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        for left_out, sent in (((), 10_000), ((port,), 0)):
            with counted_wire(left_out) as wire:
                async with (
                    aiohttp.ClientSession() as session,
                    session.put(f"http://127.0.0.1:{port}/", data=bytes(10_000)) as response,
                ):
                    assert len(await response.read()) == 20_000
            assert sent <= wire.sent_bytes <= 1.1 * sent
            assert 2 * sent <= wire.received_bytes <= 2.2 * sent
    finally:
        await runner.cleanup()


def took(seconds: float, content_bytes: int) -> dict[str, dict[str, float]]:
    one = {"seconds": seconds, "content_bytes": content_bytes}
    return dict.fromkeys(("first", "second", "restore"), one)


def test_targets_are_met_missed_or_not_judged() -> None:
    ours, restic, borg = took(2, 109), took(1, 100), took(3, 300)
    judged = judge({"small": {"tools": {"grange": ours, "restic": restic, "borg": borg}}})
    assert {name: one["met"] for name, one in judged["targets"].items()} == {
        "small.second_seconds": True,
        "small.first_content_bytes": True,
        "small.second_content_bytes": True,
        "small.restore_seconds": False,
    }
    assert judged["targets_met"] is False
    assert judged["targets"]["small.restore_seconds"]["ratio"] == 2
    assert judge({"small": {"tools": {"grange": ours}}})["targets_met"] is None
    alone = judge({"small": {"tools": {"grange": ours, "borg": borg}}})
    assert alone["targets"]["small.second_seconds"]["met"] is True
    assert alone["targets_met"] is None
    assert judge({"small": {"tools": {"grange": ours, "restic": took(2, 100)}}})["targets_met"] is True


def test_several_rounds_come_to_their_medians() -> None:
    rounds = [{"a": value, "b": {"c": None}} for value in (3, 1, 2)]
    assert merged(rounds) == {"a": 2, "b": {"c": None}}
