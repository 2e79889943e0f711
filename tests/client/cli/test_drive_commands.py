"""The commands that look at a drive and edit it, as a person types them, with farmers that are fakes."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client.packs.pack_samples import in_thread
from renter_manual import commands_of_manual
from test_client_cli import Machine, fits, machine
from typer.testing import Result

from grange.cli.exit_codes import ExitCode
from grange_client.cli.screens.history import differs_text
from grange_client.drive.backup.backup import Backup, BackupResult, Base
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import Record
from grange_client.drive.retention import Retention
from grange_client.drive.views.changes import ChangeCounts
from grange_client.drive.views.history import read_history
from grange_client.drive_session import DriveSession, DriveWriter
from grange_client.drives import Drives
from grange_client.errors import (
    BadName,
    BadPath,
    BadTime,
    OverSpendingLimit,
    UnknownCommit,
    UnknownDrive,
    WouldOverwrite,
)
from grange_client.keep.policy import KeepPolicy, policy_values
from grange_client.orders.plan import StoreOptions

__all__ = ["machine"]

CODE = StoreOptions(k=2, n=4, epochs=40)
BEGIN = 1_750_000_000 * 10**9
"""When the first commit was made."""
HOUR = 3_600 * 10**9


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What is put into the drive."""
    folder = tmp_path / "docs"
    (folder / "old").mkdir(parents=True)
    (folder / "letter.txt").write_bytes(b"Dear Ada,\n" * 10)
    (folder / "old" / "data.bin").write_bytes(bytes(range(256)) * 400)
    (folder / "link").symlink_to("letter.txt")
    (folder / Path(os_name(b"\xff\n"))).write_bytes(b"odd")
    return folder


def os_name(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def store(
    machine: Machine,
    source: Path,
    *,
    hours: int = 0,
    device: str = "laptop",
    on_top: bool = True,
    place: bytes = b"docs",
) -> str:
    """Put the folder into the drive `main`, in a commit of its own; its id. Not `on_top`: as if another
    device had not seen the commits that are there."""
    return asyncio.run(_store(machine, source, hours, device, on_top, place))


async def _store(  # noqa: PLR0917
    machine: Machine, source: Path, hours: int, device: str, on_top: bool, place: bytes
) -> str:
    async with machine._renter(None) as renter, Drives(renter).open("main", writes=True) as drive:
        session = drive.session
        after = await session.relies_after()
        async with session.writing(CODE, device=device) as writer:
            result = await in_thread(
                lambda: _back_up(session, writer, drive.state, source, after, hours, device, on_top, place)
            )
            assert result.key is not None
            records = result.records if on_top else result.records[:1]
            await writer.publish(records, relied_on=result.relied_on)
        state = (await session.sync()).state
        return next(one.hex() for one, key in state.live_commits.items() if key == result.key)


def _back_up(  # noqa: PLR0917
    session: DriveSession,
    writer: DriveWriter,
    state: DriveState,
    source: Path,
    after: Any,
    hours: int,
    device: str,
    on_top: bool,
    place: bytes,
) -> BackupResult:
    heads = read_history(session.chunks, state).heads if on_top else ()
    base = Base(key=heads[0].key, commit=heads[0].commit) if heads else None
    with Backup(
        keys=session.keys,
        catalog=session.catalog,
        reader=session.chunks,
        sink=writer,
        after=after,
        base=base,
        now_ns=lambda: BEGIN + hours * HOUR,
    ) as backup:
        backup.put_path(bytes(source), place)
        return backup.finish(device=device, message=f"backup {hours}")


def say(machine: Machine, records: Callable[[DriveState], list[Record]]) -> None:
    """Publish records."""

    async def run() -> None:
        async with (
            machine._renter(None) as renter,
            Drives(renter).open("main", writes=True) as drive,
            drive.session.writing(CODE, device="laptop") as writer,
        ):
            await writer.publish(records(drive.state))

    asyncio.run(run())


def done(result: Result) -> Result:
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def listed(result: Result) -> Any:
    return json.loads(done(result).stdout)


def names(machine: Machine, place: str, *more: str) -> list[str]:
    return done(machine("ls", place, *more)).stdout.splitlines()


def test_an_empty_drive_says_so(machine: Machine) -> None:
    """No error, no line on standard output, and what to do on standard error."""
    for command in (("ls", "main:"), ("log", "main:"), ("snapshots", "main:")):
        shown = done(machine(*command))
        assert "Nothing is in main yet" in shown.stderr
        assert shown.stdout == ""
    assert listed(machine("ls", "main:", "--json")) == []
    assert listed(machine("log", "main:", "--json")) == []
    assert isinstance(machine("ls", "nowhere:").exception, UnknownDrive)
    assert isinstance(machine("ls", "main").exception, BadPath), "a name without a colon is no drive"
    assert listed(machine("ls", "--json")) == [], "without a place it is all of main"
    assert "Nothing is in main yet" in done(machine("ls", "--at", "head")).stderr


def test_what_is_in_a_drive(machine: Machine, source: Path) -> None:
    """ls, ls -l, du, find and cat, in 80 columns and as JSON; a name that is not UTF-8 is typed as shown."""
    store(machine, source)
    assert names(machine, "main:") == ["docs/"]
    assert names(machine, "main:/docs") == ["letter.txt", "link", "old/", "\\xff\\x0a"]
    assert names(machine, "main:/docs/letter.txt") == ["letter.txt"]
    long = done(machine("ls", "main:/docs", "-l"))
    assert fits(long.stdout)
    assert "-> letter.txt" in long.stdout
    assert "102 kB" in long.stdout
    entries = {one["shown"]: one for one in listed(machine("ls", "main:/docs", "--json"))}
    assert entries["main:/docs/letter.txt"]["bytes"] == 100
    assert entries["main:/docs/link"]["target"] == "letter.txt"
    assert entries["main:/docs/old"]["kind"] == "directory"
    assert entries["main:/docs/\\xff\\x0a"]["path"] == "docs/\udcff\n"
    assert done(machine("cat", "main:/docs/\\xff\\x0a")).stdout_bytes == b"odd"
    part = done(machine("cat", "main:/docs/old/data.bin", "--offset", "255", "--length", "3"))
    assert part.stdout_bytes == bytes((255, 0, 1))
    assert isinstance(machine("cat", "main:/docs").exception, BadPath)
    assert isinstance(machine("ls", "main:/no").exception, BadPath)
    found = done(machine("find", "main:", "--name", "*.*", "--type", "f", "--larger", "1kB"))
    assert found.stdout.splitlines() == ["main:/docs/old/data.bin"]
    assert [one["shown"] for one in listed(machine("find", "main:/docs", "--type", "l", "--json"))] == [
        "main:/docs/link"
    ]
    assert done(machine("find", "main:", "--older", "2001-01-01")).stdout == ""
    assert isinstance(machine("find", "main:", "--newer", "soon").exception, BadTime)
    assert machine("find", "main:", "--type", "x").exit_code == ExitCode.USAGE
    total = listed(machine("du", "main:", "--depth", "2", "--json"))
    assert [(one["shown"], one["names"], one["bytes"]) for one in total] == [
        ("main:/", 6, 102_503),
        ("main:/docs", 5, 102_503),
        ("main:/docs/old", 1, 102_400),
    ]
    assert fits(done(machine("du", "main:")).stdout)


def test_versions(machine: Machine, source: Path) -> None:
    """log, diff, and each look at an earlier time, by tag and by the beginning of an id."""
    first = store(machine, source)
    (source / "letter.txt").write_bytes(b"Dear Bob,\n")
    (source / "new").mkdir()
    (source / "old" / "data.bin").unlink()
    second = store(machine, source, hours=30, device="desktop")
    log = done(machine("log", "main:"))
    assert fits(log.stdout)
    assert [line.split()[0] for line in log.stdout.splitlines()[1:]] == [second[:8], first[:8]]
    assert "(head)" in log.stdout.splitlines()[1]
    commits = listed(machine("log", "main:", "--json"))
    assert [(one["commit"], one["time"], one["device"]) for one in commits] == [
        (second, BEGIN // 10**9 + 30 * 3_600, "desktop"),
        (first, BEGIN // 10**9, "laptop"),
    ]
    of_path = listed(machine("log", "main:/docs/old/data.bin", "--json"))
    assert [(one["commit"], one["change"]) for one in of_path] == [(second, "removed"), (first, "added")]
    assert fits(done(machine("log", "main:/docs")).stdout)
    assert isinstance(machine("log", "main:/never").exception, BadPath)
    changed = ["M  docs/letter.txt", "A  docs/new/", "D  docs/old/data.bin"]
    for asked in (("diff", "main:"), ("diff", "main:", first[:8]), ("diff", "main:", first, second)):
        lines = done(machine(*asked)).stdout.splitlines()
        assert [one for one in lines if one[0] != "m"] == changed, asked
    assert "1 added, 1 removed, 1 changed" in machine("diff", "main:").stderr
    assert done(machine("diff", "main:/docs/new", first[:8])).stdout == "A  docs/new/\n"
    same = done(machine("diff", "main:", second, second))
    assert (same.stdout, "Nothing differs" in same.stderr) == ("", True)
    back = listed(machine("diff", "main:", second, first, "--json"))
    assert {one["shown"]: one["change"] for one in back if one["change"] != "attributes"} == {
        "main:/docs/letter.txt": "content",
        "main:/docs/new": "removed",
        "main:/docs/old/data.bin": "added",
    }
    on_disk = done(machine("diff", "main:/docs", first[:8], "--disk", source))
    assert "D  old/data.bin" in on_disk.stdout.splitlines()
    for at in (first[:6], "2025-06-15", "2025-06-15 15:06Z"):
        assert names(machine, "main:/docs/old", "--at", at) == ["data.bin"], at
        assert done(machine("cat", "main:/docs/letter.txt", "--at", at)).stdout.startswith("Dear Ada")
    assert names(machine, "main:/docs/old") == []
    for at, error in (("1999-01-01", UnknownCommit), ("nonsense", UnknownCommit), ("2027-02-30", BadTime)):
        assert isinstance(machine("ls", "main:", "--at", at).exception, error)


def test_edits(machine: Machine, source: Path) -> None:
    """mv, rm and restore: each a commit, asked for before it is paid; what was before can be had back."""
    first = store(machine, source)
    asked = machine("rm", "main:/docs/letter.txt", stdin="n\n")
    assert asked.exit_code == ExitCode.DECLINED
    assert fits(asked.stdout)
    for fact in ("main:/docs/letter.txt: 1 name, 100 bytes", "Earlier commits still have it", "price"):
        assert fact in " ".join(asked.stdout.split()), fact
    dry = listed(machine("rm", "main:/docs/letter.txt", "--dry-run", "--json"))
    assert dry["dry_run"]
    assert int(dry["cost"]) > 0
    spent = machine("rm", "main:/docs/letter.txt", "--yes", "--max-spend", "0.000000000000000001")
    assert isinstance(spent.exception, OverSpendingLimit)
    assert len(listed(machine("log", "main:", "--json"))) == 1

    gone = listed(machine("rm", "main:/docs/letter.txt", "--yes", "--json"))
    assert names(machine, "main:/docs") == ["link", "old/", "\\xff\\x0a"]
    newest = listed(machine("log", "main:", "--json"))[0]
    assert (newest["commit"], newest["message"]) == (gone["commit"], "rm main:/docs/letter.txt")
    assert newest["parents"] == [first]
    assert isinstance(machine("rm", "main:/docs/old", "--yes").exception, BadPath), "a directory needs -r"
    assert isinstance(machine("rm", "main:/", "-r", "--yes").exception, BadPath)
    assert isinstance(machine("rm", "main:/no", "--yes").exception, BadPath)

    moved = done(machine("mv", "main:/docs/link", "main:/docs/old", "--yes"))
    assert fits(moved.stdout.rpartition("Moved")[0])
    assert "Moved main:/docs/link to main:/docs/old. Commit " in " ".join(moved.stdout.split())
    assert names(machine, "main:/docs/old") == ["data.bin", "link"]
    done(machine("mv", "main:/docs/old", "main:/papers/2025", "--yes", "-m", "tidied up"))
    assert names(machine, "main:/papers/2025") == ["data.bin", "link"]
    assert listed(machine("log", "main:", "--json"))[0]["message"] == "tidied up"
    for wrong in (("main:/no", "main:/x"), ("main:/docs", "main:/docs/in"), ("main:/docs", "photos:/")):
        assert isinstance(machine("mv", *wrong, "--yes").exception, BadPath), wrong
    several = machine("mv", "main:/docs", "main:/papers", "main:/new", "--yes")
    assert isinstance(several.exception, BadPath)
    assert machine("mv", "main:/docs", "--yes").exit_code == ExitCode.USAGE
    same = done(machine("mv", "main:/papers/2025/link", "main:/papers/2025", "--yes"))
    assert "nothing was changed" in same.stdout


def test_more_than_a_drive_may_have_is_said(
    machine: Machine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By each command that opens the drive, with the names."""
    store(machine, source)
    for tag in ("one", "two", "three"):
        done(machine("tag", "main:", tag, "--yes"))
    assert "may have" not in done(machine("ls", "main:")).stderr
    monkeypatch.setattr("grange_client.drive.named_values.MAX_VALUES", 1)
    said = " ".join(done(machine("ls", "main:")).stderr.split())
    assert "More is said in main than a drive may have, and this is left out: tag/" in said
    assert said.count("tag/") == 2


def test_an_old_version_comes_back(machine: Machine, source: Path) -> None:
    """A file in its place, beside it, and all of the drive; the commit says from where."""
    first = store(machine, source)
    (source / "letter.txt").write_bytes(b"Dear Bob,\n")
    (source / "old" / "data.bin").unlink()
    store(machine, source, hours=5)
    shown = done(machine("restore", "main:/docs/letter.txt", "--at", first[:8], "--dry-run"))
    assert "changes" in shown.stdout
    assert "dry run" in shown.stderr
    done(machine("restore", "main:/docs/letter.txt", "--at", "2025-06-15 16:00:00Z", "--yes"))
    assert done(machine("cat", "main:/docs/letter.txt")).stdout.startswith("Dear Ada")
    beside = listed(
        machine("restore", "main:/docs/old", "--at", first, "--to", "main:/again", "--yes", "--json")
    )
    assert (beside["restored"], beside["to"], beside["version"]) == ("main:/docs/old", "main:/again", first)
    assert names(machine, "main:/again") == ["data.bin"]
    taken = machine("restore", "main:/docs/old", "--at", first, "--to", "main:/again", "--yes")
    assert isinstance(taken.exception, WouldOverwrite)
    done(machine("restore", "main:", "--at", first, "--yes"))
    assert names(machine, "main:") == ["docs/"]
    same = done(machine("restore", "main:", "--at", first, "--yes"))
    assert "nothing was changed" in same.stdout
    assert isinstance(machine("restore", "main:/x", "--at", first, "--yes").exception, BadPath)


def test_tags(machine: Machine, source: Path) -> None:
    """Given, listed, looked at, moved, taken away."""
    first = store(machine, source)
    second = store(machine, source / "old", hours=1)
    assert "no tags" in done(machine("tag", "main:")).stdout
    done(machine("tag", "main:", "before", first[:8], "--yes"))
    assert names(machine, "main:/docs", "--at", "before")[0] == "letter.txt"
    assert names(machine, "main:/docs") == ["data.bin"]
    taken = machine("tag", "main:", "before", "--yes")
    assert isinstance(taken.exception, WouldOverwrite)
    again = listed(machine("tag", "main:", "before", first[:8], "--yes", "--json"))
    assert again == {"tag": "before", "commit": first, "packs": [], "cost": "0"}
    done(machine("tag", "main:", "before", "--overwrite", "--yes"))
    assert listed(machine("tag", "main:", "--json")) == [{"tag": "before", "commit": second}]
    assert "[before]" in done(machine("log", "main:")).stdout
    for word in ("yesterday", "head", "2027-01-01", "a:b"):
        assert isinstance(machine("tag", "main:", word, "--yes").exception, BadName), word
    done(machine("tag", "main:", "before", "--remove", "--yes"))
    assert listed(machine("tag", "main:", "--json")) == []
    assert isinstance(machine("tag", "main:", "before", "--remove", "--yes").exception, BadName)


def test_the_rules_say_which_commits_stay(machine: Machine, source: Path) -> None:
    """snapshots: why each is kept, which goes, and until when the packs are paid."""
    ids = []
    for hours in range(3):
        (source / "letter.txt").write_bytes(b"%d" % hours)
        ids.insert(0, store(machine, source, hours=hours))
    assert "no rules" in done(machine("snapshots", "main:")).stdout
    values = policy_values(KeepPolicy(retention=Retention(last=2)))
    say(
        machine,
        lambda state: [state.new_value(name, value, seconds=1) for name, value in values.items() if value],
    )
    shown = listed(machine("snapshots", "main:", "--json"))
    assert shown["rules"] == "last=2"
    assert [(one["commit"], one["kept"]) for one in shown["commits"]] == [
        (ids[0], True),
        (ids[1], True),
        (ids[2], False),
    ]
    text = done(machine("snapshots", "main:"))
    assert fits(text.stdout.rpartition("Rules:")[0])
    assert "paid until epoch" in text.stdout
    assert "one of the last 2" in text.stdout
    assert isinstance(machine("snapshots", "main:/docs").exception, BadPath)


def test_two_heads_are_shown_together_and_merged_by_the_next_edit(
    machine: Machine, source: Path, tmp_path: Path
) -> None:
    """Each command that looks says so; an edit publishes the merge, and nothing of either side vanishes."""
    one = store(machine, source)
    (tmp_path / "other" / "docs").mkdir(parents=True)
    (tmp_path / "other" / "docs" / "mine").write_bytes(b"of another device")
    other = store(machine, tmp_path / "other" / "docs", hours=1, device="desktop", on_top=False)
    both = done(machine("ls", "main:/docs"))
    assert set(both.stdout.splitlines()) == {"letter.txt", "link", "mine", "old/", "\\xff\\x0a"}
    assert "nobody has merged" in both.stderr
    assert done(machine("cat", "main:/docs/mine")).stdout == "of another device"
    log = listed(machine("log", "main:", "--json"))
    assert {entry["commit"]: entry["is_head"] for entry in log} == {one: True, other: True}
    assert isinstance(machine("tag", "main:", "both", "--yes").exception, UnknownCommit)
    edited = listed(machine("mv", "main:/docs/mine", "main:/docs/ours", "--yes", "--json"))
    assert edited["merged_heads"] == 2
    merged = done(machine("ls", "main:/docs"))
    assert set(merged.stdout.splitlines()) == {"letter.txt", "link", "old/", "ours", "\\xff\\x0a"}
    assert "nobody has merged" not in merged.stderr
    assert [entry["commit"] for entry in listed(machine("log", "main:", "--json")) if entry["is_head"]] == [
        edited["commit"]
    ]
    assert set(names(machine, "main:/docs", "--at", other[:8])) == {"mine"}


def test_the_manual_on_storing_can_be_typed(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of its chapter on versions, in its order; the second time nothing is paid."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "sea.jpg").write_bytes(b"x" * 2000)
    commands = commands_of_manual("Store")
    assert len(commands) >= 8
    said = [
        done(machine(command, *rest, *(["--yes"] if command == "put" else []))).stdout
        for command, *rest in commands
    ]
    assert "Nothing changed" in said[1]
    for place in ("main:/photos", "main:/backup/photos", "main:/pictures", "letters:/photos"):
        assert names(machine, place) == ["sea.jpg"]


def test_the_manual_can_be_typed(machine: Machine, tmp_path: Path) -> None:
    """Every command of its chapter on drives, in its order."""
    commands = commands_of_manual("Look into a drive, and change it")
    assert len(commands) >= 13
    for folder, name in (("photos/2019", "sea.jpg"), ("notes", "todo.txt")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_bytes(b"x" * 2000)
    store(machine, tmp_path / "photos", place=b"photos")
    store(machine, tmp_path / "notes", place=b"notes")
    edits = {"tag", "mv", "rm", "restore"}
    for command, *rest in commands:
        agreed = ["--yes"] if command in edits else []
        ran = done(machine(command, *rest, *agreed))
        # The drive of the test has been as it is for longer than three days.
        assert ran.stdout or (command == "diff" and "Nothing differs" in ran.stderr), command
    assert names(machine, "main:/photos") == ["2019/", "todo.txt"]
    assert names(machine, "main:/photos/2019") == ["sea.jpg"]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (ChangeCounts(added=4, grown_bytes=3_000_000), "4 added; 3 MB more."),
        (ChangeCounts(changed=1, grown_bytes=-4_200), "1 changed; 4.2 kB less."),
        (ChangeCounts(), "Nothing differs."),
    ],
    ids=["more", "less", "nothing"],
)
def test_changes_are_counted_in_a_sentence(counts: ChangeCounts, said: str) -> None:
    """Units stay as they are written."""
    assert differs_text(counts) == said
