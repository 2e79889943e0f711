"""A home whose phrase, or delegate's key, a passphrase opens: when it is asked for, and what is kept."""

from __future__ import annotations

import json
import stat
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from client_fakes import MARKET, WORDS
from typer.testing import CliRunner

from grange.chain.network_file import Network
from grange.keystore.container import ContainerInvalid, WrongPassphrase
from grange.keystore.passphrases import PassphraseNeeded, Passphrases
from grange_client.cli.app import app
from grange_client.errors import BadCard, BadConfig
from grange_client.keys.config import Config, load, load_card, set_up, set_up_delegate
from grange_client.keys.delegate_bundle import PASSPHRASE_WORDS, DelegateBundle, made_up_passphrase, read_text
from grange_client.keys.identity_file import DelegateSecret, read_phrase, relock_home
from grange_client.keys.recovery_phrase import identity

NETWORK = Network(rpc="http://127.0.0.1:8545", market=MARKET, chain_id=5, genesis_hash="ab" * 32)
PASSPHRASE = "correct horse battery staple"


class Person:
    """Types this passphrase, as often as somebody asks."""

    def __init__(self, passphrase: str = PASSPHRASE) -> None:
        self.asked: list[str] = []
        self._passphrase = passphrase

    def __call__(self, question: str) -> str:
        self.asked.append(question)
        return self._passphrase


@pytest.fixture(scope="module")
def locked_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Locking takes half a second."""
    home = tmp_path_factory.mktemp("locked")
    set_up(home, phrase=WORDS, network=NETWORK, passphrase=PASSPHRASE)
    assert stat.S_IMODE((home / "recovery.txt").stat().st_mode) == 0o600
    return (home / "recovery.txt").read_text()


@pytest.fixture
def home(tmp_path: Path, locked_text: str) -> Path:
    home = tmp_path / "home"
    set_up(home, phrase=WORDS, network=NETWORK)
    (home / "recovery.txt").write_text(locked_text)
    return home


def test_nothing_of_the_phrase_is_in_any_file(home: Path) -> None:
    who = identity(WORDS)
    text = "".join(path.read_text() for path in home.iterdir())
    assert [word for word in WORDS.split() if f" {word} " in text] == []
    assert who.wallet.private_key.hex() not in text
    assert who.secret.secret.hex() not in text


def test_the_address_is_known_without_the_passphrase_and_the_rest_is_asked_for_once(home: Path) -> None:
    person = Person()
    loaded = load(home, Passphrases(ask=person))
    assert (loaded.identity.account, loaded.network) == (identity(WORDS).wallet.address, NETWORK)
    assert person.asked == []
    loaded.identity.unlock()
    assert loaded.identity.wallet.private_key == identity(WORDS).wallet.private_key
    assert loaded.identity.secret == identity(WORDS).secret
    assert person.asked == [f"The passphrase of {home / 'recovery.txt'}"]
    assert repr(loaded.identity).count("0x") == 1


def test_without_a_passphrase_it_stays_locked_in_words(home: Path) -> None:
    loaded = load(home)
    for open_it in (loaded.identity.unlock, lambda: loaded.identity.secret, lambda: load_card(home)):
        with pytest.raises(PassphraseNeeded, match=r"recovery\.txt is locked"):
            open_it()


def test_a_wrong_passphrase_is_said_and_can_be_given_again(home: Path) -> None:
    with pytest.raises(WrongPassphrase):
        load(home, Passphrases(ask=Person("nonsense"))).identity.unlock()
    assert load_card(home, Passphrases(ask=Person())).phrase == WORDS


def test_a_file_that_says_another_address_is_refused(home: Path) -> None:
    """Its outside is not under the passphrase. Money would go to anyone who wrote it there."""
    document = json.loads((home / "recovery.txt").read_text())
    document["address"] = "12" * 20
    (home / "recovery.txt").write_text(json.dumps(document))
    with pytest.raises(BadConfig, match="says otherwise"):
        load(home, Passphrases(ask=Person())).identity.unlock()


def test_another_address_on_the_outside_is_told_wherever_it_is_opened(home: Path, tmp_path: Path) -> None:
    """To be sent money, with a passphrase at hand; for the card; and in a file for a device."""
    word, path = tmp_path / "word", home / "recovery.txt"
    word.write_text(PASSPHRASE)
    content = json.loads(path.read_text()) | {"address": "11" * 20}
    path.write_text(json.dumps(content))
    run = partial(CliRunner().invoke, app)
    without = run(["balance", "--address", "--home", str(home)])
    assert without.stdout.strip() == "0x" + "11" * 20, "nothing can tell"
    checked = run(["balance", "--address", "--home", str(home), "--passphrase-file", str(word)])
    assert isinstance(checked.exception, BadConfig)
    assert checked.stdout == ""
    with pytest.raises(BadConfig, match="says otherwise"):
        read_phrase(home, Passphrases(ask=Person()))
    of = set_up(tmp_path / "other", phrase=WORDS, network=NETWORK)
    bundle, _ = DelegateBundle.new(of, PASSPHRASE)
    changed = json.loads(bundle.secret)
    changed["grange"]["account"] = "0x" + "11" * 20
    swapped = replace(bundle, secret=json.dumps(changed))
    with pytest.raises(BadConfig, match="says otherwise"):
        swapped.open(Passphrases(ask=Person()), "the file")


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_phrase_that_others_can_read_is_refused_locked_or_not(
    tmp_path: Path, home: Path, mode: int
) -> None:
    clear = tmp_path / "clear"
    set_up(clear, phrase=WORDS, network=NETWORK)
    for one in (home, clear):
        (one / "recovery.txt").chmod(mode)
        with pytest.raises(BadConfig, match="chmod 600"):
            load(one)


def test_a_damaged_file_is_refused_without_its_content(home: Path) -> None:
    text = (home / "recovery.txt").read_text()
    (home / "recovery.txt").write_text(text[: len(text) * 2 // 3])
    with pytest.raises(ContainerInvalid, match=r"recovery\.txt") as refused:
        load(home)
    shown = "".join(traceback.format_exception(refused.value))
    assert json.loads(text)["crypto"]["ciphertext"] not in shown


def test_a_home_is_locked_and_written_in_clear_again(tmp_path: Path) -> None:
    account = set_up(tmp_path / "home", phrase=WORDS, network=NETWORK)
    made = DelegateSecret.new(account.identity)
    set_up_delegate(tmp_path / "device", network=NETWORK, secret=made.text(None))
    for home, name, secret in (
        (tmp_path / "home", "recovery.txt", WORDS),
        (tmp_path / "device", "delegate.json", made.secret),
    ):
        whose = load(home).identity.account
        path = relock_home(home, Passphrases(), lambda is_locked: (None if is_locked else PASSPHRASE, False))
        assert (path, secret in path.read_text()) == (home / name, False)
        now = load(home, Passphrases(ask=Person()))
        assert (now.identity.account, stat.S_IMODE(path.stat().st_mode)) == (whose, 0o600)
        now.identity.unlock()
        relock_home(home, Passphrases(ask=Person()), lambda is_locked: (None if is_locked else "", False))
        assert secret in path.read_text()
        assert load(home).identity.account == whose


def bundle_of(folder: Path, passphrase: str | None) -> tuple[Config, Path]:
    account = set_up(folder / "account", phrase=WORDS, network=NETWORK)
    bundle, _ = DelegateBundle.new(account, passphrase)
    path = folder / "laptop"
    path.write_text(bundle.text())
    path.chmod(0o600)
    return account, path


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["in clear", "locked"])
def test_a_device_gets_all_it_takes_in_one_file(tmp_path: Path, passphrase: str | None) -> None:
    account, path = bundle_of(tmp_path, passphrase)
    bundle = DelegateBundle.parse(read_text(path), str(path))
    who = bundle.open(Passphrases(ask=Person()), str(path))
    set_up_delegate(tmp_path / "device", network=bundle.network, secret=bundle.secret)
    device = load(tmp_path / "device", Passphrases(ask=Person()))
    assert (device.network, device.identity.account) == (NETWORK, account.identity.account)
    assert device.identity.wallet.address == who.wallet.address != account.identity.account
    device.identity.unlock()
    assert device.identity.wallet.private_key == who.wallet.private_key
    with pytest.raises(BadCard, match="delegate's home"):
        load_card(tmp_path / "device", Passphrases(ask=Person()))
    text = path.read_text() + "".join(one.read_text() for one in (tmp_path / "device").iterdir())
    assert WORDS not in text
    assert account.identity.wallet.private_key.hex() not in text
    assert (who.wallet.private_key.hex() in text) == (passphrase is None)


def test_a_file_for_a_device_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    _, path = bundle_of(tmp_path, None)
    text = path.read_text()
    path.chmod(0o644)
    with pytest.raises(BadConfig, match="chmod 600"):
        read_text(path)
    key = json.loads(text)["delegate"]["key"]
    for broken in (
        "",
        "{}",
        "[]",
        text[:200],
        text.replace("grange delegate", "other"),
        text.replace("http", "f"),
    ):
        with pytest.raises(BadConfig, match="not a file that was made for a delegate") as refused:
            DelegateBundle.parse(broken, str(path))
        assert key not in "".join(traceback.format_exception(refused.value))
    spoilt = DelegateBundle.parse(text.replace(key, key[:-1] + "x"), str(path))
    with pytest.raises(BadConfig) as refused:
        spoilt.open(Passphrases(), str(path))
    assert key[:-1] not in "".join(traceback.format_exception(refused.value))


def test_a_passphrase_that_is_made_up_is_new_each_time() -> None:
    drawn = {made_up_passphrase() for _ in range(20)}
    assert len(drawn) == 20
    assert {len(one.split()) for one in drawn} == {PASSPHRASE_WORDS}
