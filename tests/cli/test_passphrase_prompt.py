"""A person at a real terminal types a passphrase: it is not shown, and Ctrl-C ends the command with words."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from grange.chain.key_file import address_in_file, key_from_file
from grange.chain.network_file import Network
from grange.cli.exit_codes import ExitCode
from grange.keystore.passphrases import Passphrases
from grange.types import Address
from grange_client.keys.config import set_up
from grange_client.keys.recovery_card import RecoveryCard

PASSPHRASE = "typed by a person"
WORDS = "test test test test test test test test test test test junk"
MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
CONTROL_C = "\x03"


def at_terminal(arguments: list[str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run `grange` at a terminal of its own; each answer is typed when its question is there."""
    terminal, other_end = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRANGE_")}
    program = "from grange_client.cli.entry import main; main()"
    redirected = 'exec "$@" <"$TERMINAL" >"$TERMINAL" 2>&1'
    # The first terminal that the leader of a session opens is that of the session.
    process = subprocess.Popen(
        ["sh", "-c", redirected, "sh", sys.executable, "-c", program, *arguments],
        env=environment | {"TERMINAL": os.ttyname(other_end)},
        start_new_session=True,
    )
    shown, waiting = b"", list(answers)
    try:
        while True:
            try:
                more = os.read(terminal, 4096)
            except OSError:
                break
            if not more:
                break
            if not shown:
                # The process has it open now; when it is gone, reading must end.
                os.close(other_end)
            shown += more
            if waiting and waiting[0][0].encode() in shown:
                question, answer = waiting.pop(0)
                os.write(terminal, answer.encode())
                shown = shown.replace(question.encode(), b"(asked)", 1)
    finally:
        os.close(terminal)
        status = process.wait()
    assert not waiting, shown
    return status, shown.decode(errors="replace")


def test_a_new_key_asks_twice_and_shows_nothing_of_what_is_typed(tmp_path: Path) -> None:
    answers = [("(empty: none): ", f"{PASSPHRASE}\n"), ("once more: ", f"{PASSPHRASE}\n")]
    code, shown = at_terminal(["farm", "address", "--home", str(tmp_path)], answers)
    assert (code, PASSPHRASE in shown) == (0, False), shown
    key = tmp_path / "operator.key"
    assert address_in_file(key) in shown
    given = tmp_path / "given"
    given.write_text(PASSPHRASE)
    given.chmod(0o600)
    assert key_from_file(key, Passphrases(files=[given])).address == address_in_file(key)


@pytest.mark.parametrize("locked", [False, True], ids=["for a new key", "for a locked one"])
def test_control_c_at_the_question_ends_it_and_nothing_is_written(tmp_path: Path, locked: bool) -> None:
    home = tmp_path / "home"
    if locked:
        set_up(
            home,
            phrase=WORDS,
            network=Network(rpc="http://127.0.0.1:1", market=MARKET, chain_id=5),
            passphrase="x",
        )
    before = sorted(path.name for path in tmp_path.rglob("*"))
    arguments = ["deposit", "1"] if locked else ["farm", "address"]
    question = "recovery.txt: " if locked else "(empty: none): "
    code, shown = at_terminal([*arguments, "--home", str(home)], [(question, CONTROL_C)])
    assert code == ExitCode.INTERRUPTED, shown
    assert "Interrupted. Nothing was done." in shown
    assert "Traceback" not in shown
    after = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert set(after) <= {*before}


def test_a_locked_home_asks_once_and_again_after_a_mistake(tmp_path: Path) -> None:
    network = Network(rpc="http://127.0.0.1:1", market=MARKET, chain_id=5)
    set_up(tmp_path, phrase=WORDS, network=network, passphrase=PASSPHRASE)
    answers = [("recovery.txt: ", "mistyped\n"), ("recovery.txt: ", f"{PASSPHRASE}\n")]
    code, shown = at_terminal(["keys", "card", "--home", str(tmp_path)], answers)
    assert (code, PASSPHRASE in shown) == (0, False), shown
    assert "That does not open it." in shown
    assert RecoveryCard.parse(shown).phrase == WORDS
