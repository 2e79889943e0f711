"""From the first moment to the last: Ctrl-C is 130, and output that cannot be written ends in words."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from client_fakes import MARKET, WORDS

from grange.chain.network_file import Network
from grange.cli.confirm import confirm
from grange.cli.exit_codes import ExitCode
from grange_client.cli import app as cli
from grange_client.cli import entry
from grange_client.cli.commands import common
from grange_client.keys.config import set_up

ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    set_up(tmp_path / "home", phrase=WORDS, network=Network(rpc="http://127.0.0.1:1", market=MARKET))
    return tmp_path / "home"


def grange(
    *arguments: object, before: Callable[[], None] | None = None, **options: object
) -> tuple[int, str]:
    """Run the command as its own process; its exit code and what it said on standard error."""
    done = subprocess.run(  # type: ignore[call-overload]
        [sys.executable, "-m", "grange_client", *map(str, arguments)],
        stderr=subprocess.PIPE,
        preexec_fn=before,
        timeout=120,
        check=False,
        **options,
    )
    return done.returncode, done.stderr.decode()


def test_a_full_disk_under_the_output_is_said(home: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        code, said = grange("balance", "--address", "--home", home, stdout=full)
    assert (code, "Traceback" in said) == (4, False)
    assert "The output could not be written: no space left on device." in said


def test_a_closed_output_is_said(home: Path) -> None:
    """Nothing else gets its number, such as a socket of the event loop."""
    code, said = grange("balance", "--address", "--home", home, before=lambda: os.close(1))
    assert (code, "Traceback" in said) == (4, False)
    assert "The output could not be written: it is closed." in said


def test_nobody_to_tell_is_no_reason_to_fail(home: Path) -> None:
    """With standard input and error closed the work is done as always."""
    done = subprocess.run(
        [sys.executable, "-m", "grange_client", "balance", "--address", "--home", home],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: (os.close(0), os.close(2)),
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.decode()) == (0, ADDRESS + "\n")


def test_what_a_terminal_cannot_show_is_escaped() -> None:
    reading, writing = os.pipe()
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with entry._text_output(writing, ascii_only, entry._Output) as out:
        out.write("snow ☃ \udcff")
    os.close(writing)
    with os.fdopen(reading, "rb") as read:
        assert read.read() == rb"snow \u2603 \udcff"


INTERRUPTED_AT_IMPORT = """
import os, signal, sys
from grange_client.cli import entry

MODULE = sys.argv[1]

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)

# A shell that runs the tests in the background has its children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder())
sys.argv[1:] = sys.argv[2:] + ["--help"]
entry.main()
"""


@pytest.mark.parametrize(
    ("module", "command"),
    [("grange_client.cli.app", []), ("aiohttp", ["ls"]), ("grange_node.cli.farm", ["farm"])],
)
def test_ctrl_c_while_modules_load_is_130(module: str, command: list[str]) -> None:
    """Ours, those of libraries, and those of the commands of other packages."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT_IMPORT, module, *command],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, b"Interrupted.\n")


def _interrupt(*_: object, **__: object) -> bool:
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    except KeyboardInterrupt:
        raise typer.Abort from None
    raise AssertionError


def test_ctrl_c_at_a_question_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once, although an event loop is running that would rather wait for the answer."""
    monkeypatch.setattr(typer, "confirm", _interrupt)

    async def asking() -> None:
        confirm("Store it?")

    with pytest.raises(typer.Exit) as raised:
        common.run(asking())
    assert raised.value.exit_code == 130
    assert "Interrupted" in capsys.readouterr().err


def test_no_answer_is_no(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In a script nobody answers: it says how to agree in advance."""

    def unanswered(*_: object, **__: object) -> bool:
        try:
            raise EOFError
        except EOFError:
            raise typer.Abort from None

    monkeypatch.setattr(typer, "confirm", unanswered)
    with pytest.raises(typer.Exit) as raised:
        confirm("Store it?")
    assert raised.value.exit_code == ExitCode.DECLINED
    assert "--yes" in capsys.readouterr().err


def test_a_no_is_said_to_have_changed_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: False)
    with pytest.raises(typer.Exit) as raised:
        confirm("Store it?")
    assert raised.value.exit_code == ExitCode.DECLINED
    assert capsys.readouterr().err == "Nothing was done.\n"


def test_ctrl_c_between_commands_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(typer.Typer, "__call__", interrupted)
    monkeypatch.setattr(cli, "entry_points", lambda group: ())
    assert cli.run(["ls"]) == 130


def test_a_reader_that_has_had_enough_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `| head`: exit code 1 and not a word."""

    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(typer.Typer, "__call__", closed)
    monkeypatch.setattr(cli, "entry_points", lambda group: ())
    assert cli.run(["ls"]) == 1
