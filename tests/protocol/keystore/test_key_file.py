"""Keys in files: locked or in clear, readable by their owner alone, and never lost on the way."""

from __future__ import annotations

import json
import stat
import traceback
from pathlib import Path

import pytest
from eth_account import Account
from keystore_support import CHEAP, KEY, RIGHT, WALLET, FakeKeyring, Person

from grange.chain import Wallet
from grange.chain.key_file import (
    KeyInvalid,
    address_in_file,
    create_key,
    key_from_file,
    key_text,
    open_key,
    relock_key,
)
from grange.keystore import passphrases as module
from grange.keystore import secret_file
from grange.keystore.container import ContainerInvalid, SecretKind, lock
from grange.keystore.passphrases import KeyringFailed, PassphraseNeeded, Passphrases
from grange.keystore.secret_file import SecretChanged
from grange.storage.atomic_file import create_file


def locked(folder: Path, text: str | None = None) -> Path:
    path = folder / "operator.key"
    create_file(path, text or key_text(WALLET, RIGHT, cost=CHEAP))
    return path


def test_a_new_key_is_locked_and_its_own(tmp_path: Path) -> None:
    path = tmp_path / "operator.key"
    create_key(path, RIGHT)
    made = key_from_file(path, Passphrases(ask=Person(RIGHT)))
    assert made.address == address_in_file(path)
    assert made.private_key.hex() not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    create_key(path, "another")
    assert address_in_file(path) == made.address


def test_the_address_needs_no_passphrase(tmp_path: Path) -> None:
    assert address_in_file(locked(tmp_path)) == WALLET.address
    with pytest.raises(PassphraseNeeded, match=r"operator\.key is locked"):
        key_from_file(tmp_path / "operator.key")


def test_one_that_does_not_say_its_address_is_opened_for_it(tmp_path: Path) -> None:
    document = json.loads(key_text(WALLET, RIGHT, cost=CHEAP))
    del document["address"], document["grange"]
    path = locked(tmp_path, json.dumps(document))
    assert address_in_file(path, Passphrases(ask=Person(RIGHT))) == WALLET.address


def test_a_wallet_programs_file_is_taken_as_it_is(tmp_path: Path) -> None:
    text = json.dumps(Account.encrypt(KEY, RIGHT, kdf="pbkdf2", iterations=2))
    assert key_from_file(locked(tmp_path, text), Passphrases(ask=Person(RIGHT))).address == WALLET.address


def test_a_key_that_is_not_the_one_it_says_is_refused(tmp_path: Path) -> None:
    """Somebody who can write the file must not pass off another key as ours."""
    other = Wallet(bytes(31) + b"\x07")
    text = lock(KEY, RIGHT, holds=SecretKind.KEY, address=other.address, cost=CHEAP)
    path, word = locked(tmp_path, text), tmp_path / "word"
    with pytest.raises(KeyInvalid, match="says that it is"):
        key_from_file(path, Passphrases(ask=Person(RIGHT)))
    word.write_text(RIGHT)
    assert address_in_file(path) == other.address, "nothing can tell without the passphrase"
    assert address_in_file(path, Passphrases(ask=Person()), is_checked=True) == other.address
    with pytest.raises(KeyInvalid, match="says that it is"):
        address_in_file(path, Passphrases(files=[word]), is_checked=True)


def test_a_file_is_called_what_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the beginning of a sentence too."""
    monkeypatch.chdir(tmp_path)
    name = locked(tmp_path).name
    with pytest.raises(PassphraseNeeded, match=f"^{name} is locked with a passphrase"):
        key_from_file(Path(name), Passphrases())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_locked_key_that_others_can_read_is_refused_too(tmp_path: Path, mode: int) -> None:
    path = locked(tmp_path)
    path.chmod(mode)
    for read in (key_from_file, address_in_file):
        with pytest.raises(KeyInvalid, match="chmod 600"):
            read(path)


def test_a_damaged_file_says_so_and_asks_nobody(tmp_path: Path) -> None:
    path = locked(tmp_path, key_text(WALLET, RIGHT, cost=CHEAP)[:200])
    with pytest.raises(ContainerInvalid, match=r"operator\.key"):
        key_from_file(path, Passphrases(ask=Person()))


@pytest.mark.parametrize(
    "text", [KEY.hex() + "0", KEY.hex() + " # mine", "key: " + KEY.hex(), KEY.hex()[:-1] + "g"]
)
def test_a_mistyped_key_shows_in_no_traceback(tmp_path: Path, text: str) -> None:
    """Almost a key is a key to anyone who reads a log."""
    with pytest.raises(KeyInvalid) as refused:
        key_from_file(locked(tmp_path, text))
    shown = "".join(traceback.format_exception(refused.value))
    assert KEY.hex()[:16] not in shown


def test_a_passphrase_is_set_changed_and_taken_away(tmp_path: Path) -> None:
    path = locked(tmp_path, KEY.hex())
    for before, after in ((None, RIGHT), (RIGHT, "another"), ("another", None)):
        passphrases = Passphrases(ask=Person(before) if before else None)
        relock_key(open_key(path, passphrases), after)
        now = open_key(path, Passphrases(ask=Person(after) if after else None))
        assert (now.wallet.private_key, now.passphrase) == (KEY, after)
        assert (KEY.hex() in path.read_text()) == (after is None)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["operator.key"]


def test_a_change_that_fails_leaves_the_key_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether what was written does not open, or the disk is full, or the keyring takes nothing."""
    path = locked(tmp_path, KEY.hex())
    opened = open_key(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(secret_file, "replace_file", full)
        with pytest.raises(OSError, match="No space"):
            relock_key(opened, RIGHT)
    with monkeypatch.context() as patch:
        patch.setattr(module, "import_keyring", lambda: FakeKeyring(broken="is locked"))
        with pytest.raises(KeyringFailed):
            relock_key(opened, RIGHT, in_keyring=True)
    assert path.read_text() == KEY.hex()


@pytest.mark.parametrize("passphrase", [RIGHT, None])
def test_a_key_that_another_command_put_there_meanwhile_stays(tmp_path: Path, passphrase: str | None) -> None:
    """A rotation may end while a person thinks of a passphrase: its new key must not be lost."""
    path = locked(tmp_path, KEY.hex())
    opened = open_key(path)
    rotated = Wallet.random().private_key.hex()
    path.write_text(rotated)
    with pytest.raises(SecretChanged, match="changed by another command meanwhile"):
        relock_key(opened, passphrase)
    assert path.read_text() == rotated


def test_the_keyring_gets_a_changed_passphrase_and_forgets_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = FakeKeyring()
    monkeypatch.setattr(module, "import_keyring", lambda: keyring)
    path = locked(tmp_path, KEY.hex())
    for passphrase in ("one", "two"):
        relock_key(open_key(path, Passphrases()), passphrase, in_keyring=True)
        assert list(keyring.kept.values()) == [passphrase]
        assert key_from_file(path, Passphrases()).private_key == KEY


def test_a_successor_is_locked_as_the_key_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A farm whose passphrase is in the keyring must start by itself after its key was rotated."""
    keyring = FakeKeyring()
    monkeypatch.setattr(module, "import_keyring", lambda: keyring)
    path = locked(tmp_path, KEY.hex())
    new = Wallet(bytes(31) + b"\x07")
    assert open_key(path).lock(new) == new.private_key.hex() + "\n"
    relock_key(open_key(path), RIGHT, in_keyring=True)
    after = tmp_path / "operator.key.next"
    create_file(after, open_key(path, Passphrases()).lock(new))
    assert key_from_file(after, Passphrases()).address == new.address
