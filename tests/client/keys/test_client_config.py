"""Words, keys and the home directory: nothing secret is lost, overwritten or readable by others."""

import json
import stat
import threading
import traceback
from contextlib import suppress
from pathlib import Path

import pytest
from client_fakes import MARKET, WORDS
from eth_account import Account
from eth_account.hdaccount import seed_from_mnemonic

from grange.chain.market_pins import pins_from, read_pins, write_pins
from grange.chain.network_file import Network, NetworkInvalid
from grange_client.errors import AlreadySetUp, BadConfig, BadPhrase, NotSetUp
from grange_client.keys.config import (
    Config,
    home_path,
    is_set_up,
    load,
    pins_path,
    set_up,
    set_up_delegate,
)
from grange_client.keys.identity_file import DelegateSecret
from grange_client.keys.recovery_phrase import checked_phrase, identity, new_phrase

NETWORK = Network(rpc="http://127.0.0.1:8545", market=MARKET, chain_id=1337)


def test_wallet_is_where_other_programs_find_it() -> None:
    """The words that every Ethereum developer knows give the address that every developer knows."""
    assert identity(WORDS).wallet.address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def test_wallet_agrees_with_an_independent_derivation() -> None:
    """eth_account's own way from words to account gives the same."""
    Account.enable_unaudited_hdwallet_features()
    for words in (new_phrase() for _ in range(10)):
        assert identity(words).wallet.address == Account.from_mnemonic(words).address


def test_secret_is_not_the_wallet() -> None:
    """Wallet and recovery secret cannot be computed from one another, and neither shows in a repr."""
    who = identity(WORDS)
    assert who.wallet.private_key != who.secret.secret
    for text in (repr(who), repr(who.wallet), repr(who.secret)):
        assert who.wallet.private_key.hex() not in text
        assert who.secret.secret.hex() not in text
    assert who.secret.secret not in seed_from_mnemonic(WORDS, "")


def test_new_phrases_are_new() -> None:
    """Valid, and never the same."""
    drawn = {new_phrase() for _ in range(20)}
    assert len(drawn) == 20
    assert all(len(checked_phrase(words).split()) == 12 for words in drawn)


@pytest.mark.parametrize("space", [" ", "  ", " \n ", "\t", "\r\n", "\u00a0", "\u3000", "\u2003"])
def test_words_are_taken_as_people_type_them(space: str) -> None:
    """Case and spacing do not matter, nor does a keyboard whose letters are wide."""
    spaced = space + WORDS.replace(" ", space) + space
    wide = "".join(chr(ord(one) + 0xFEE0) if one.isalpha() else one for one in spaced)
    for typed in (spaced, spaced.upper(), spaced.title(), wide):
        assert checked_phrase(typed) == WORDS
        assert identity(typed).wallet.address == identity(WORDS).wallet.address


@pytest.mark.parametrize(
    "words",
    [
        "",
        "test " * 11,
        "test " * 12,
        "test " * 13,
        WORDS.replace("junk", "test"),
        "nonsense " * 12,
        "test " * 11 + "jun",
    ],
)
def test_wrong_words_are_refused(words: str) -> None:
    """Too few, too many, of no list, or with a wrong checksum."""
    with pytest.raises(BadPhrase):
        checked_phrase(words)


def test_set_up_and_load(tmp_path: Path) -> None:
    """What is set up is loaded again; the phrase is readable by their owner only."""
    home = tmp_path / "deep" / "home"
    made = set_up(home, phrase=WORDS, network=NETWORK)
    loaded = load(home)
    assert loaded.network == made.network == NETWORK
    assert loaded.identity.wallet.address == made.identity.wallet.address
    assert stat.S_IMODE((home / "recovery.txt").stat().st_mode) == 0o600
    assert sorted(path.name for path in home.iterdir()) == ["config.json", "recovery.txt"]


def device_of(account: Config, home: Path) -> Config:
    """A delegate's home, with its key in clear."""
    made = DelegateSecret.new(account.identity)
    pins = read_pins(pins_path(account.home))
    set_up_delegate(home, network=account.network, secret=made.text(None), pins=pins)
    return load(home)


def test_a_delegates_home_has_a_key_of_its_own_and_no_phrase(tmp_path: Path) -> None:
    """It opens its own orders, which the account opens too. Neither the phrase nor the account's own key or
    secret can be had from it."""
    account = set_up(tmp_path / "account", phrase=WORDS, network=NETWORK)
    made = device_of(account, tmp_path / "device")
    loaded = load(tmp_path / "device")
    assert loaded.network == NETWORK
    assert loaded.identity.wallet.private_key == made.identity.wallet.private_key
    device = loaded.identity.wallet.address
    assert loaded.identity.secret == account.identity.secret.for_delegate(device) != account.identity.secret
    assert loaded.identity.account == account.identity.wallet.address
    assert loaded.identity.wallet.address != account.identity.wallet.address
    files = {path.name: path for path in (tmp_path / "device").iterdir()}
    assert sorted(files) == ["config.json", "delegate.json"]
    assert stat.S_IMODE(files["delegate.json"].stat().st_mode) == 0o600
    text = "".join(path.read_text() for path in files.values())
    assert WORDS not in text
    assert account.identity.wallet.private_key.hex() not in text
    pins = pins_from(5, MARKET, None, {MARKET: b"code"}, "trusted")
    write_pins(pins_path(account.home), pins)
    again = device_of(account, tmp_path / "another")
    assert read_pins(pins_path(again.home)) == pins, "it need not look at the market again"
    assert again.identity.wallet.address != made.identity.wallet.address
    for home in ("device", "account"):
        with pytest.raises(AlreadySetUp):
            device_of(account, tmp_path / home)
        with pytest.raises(AlreadySetUp):
            set_up(tmp_path / home, phrase=WORDS, network=NETWORK)


@pytest.mark.parametrize(
    ("name", "value"),
    [("account", "0x12"), ("key", "12"), ("key", "g" * 64), ("secret", ""), ("other", "1"), ("key", None)],
)
def test_a_delegates_file_that_is_not_one_is_refused_without_its_keys(
    tmp_path: Path, name: str, value: str | None
) -> None:
    account = set_up(tmp_path / "account", phrase=WORDS, network=NETWORK)
    made = device_of(account, tmp_path / "device")
    path = tmp_path / "device" / "delegate.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(BadConfig) as refused:
        load(tmp_path / "device")
    told = "".join(traceback.format_exception(refused.value)) + refused.value.hint
    assert made.identity.wallet.private_key.hex() not in told
    assert made.identity.secret.secret.hex() not in told
    assert "grange keys delegate new" in refused.value.hint


def test_two_set_ups_at_once_leave_one_home(tmp_path: Path) -> None:
    """Of several at once one succeeds, and phrase and network are both its own."""
    networks = [NETWORK.model_copy(update={"chain_id": number + 1}) for number in range(8)]
    words = [new_phrase() for _ in networks]
    start = threading.Barrier(len(networks))
    made: list[int] = []

    def set_up_one(number: int) -> None:
        start.wait()
        with suppress(AlreadySetUp):
            set_up(tmp_path, phrase=words[number], network=networks[number])
            made.append(number)

    threads = [threading.Thread(target=set_up_one, args=(number,)) for number in range(len(networks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [winner] = made
    assert (tmp_path / "recovery.txt").read_text().strip() == words[winner]
    assert load(tmp_path).network == networks[winner]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "recovery.txt"]


def test_second_set_up_changes_nothing(tmp_path: Path) -> None:
    """Words that exist are never overwritten."""
    set_up(tmp_path, phrase=WORDS, network=NETWORK)
    with pytest.raises(AlreadySetUp):
        set_up(tmp_path, phrase=new_phrase(), network=NETWORK)
    assert (tmp_path / "recovery.txt").read_text().strip() == WORDS


def test_set_up_that_was_cut_short_can_be_repeated(tmp_path: Path) -> None:
    """A configuration without a recovery phrase is no set-up."""
    (tmp_path / "config.json").write_text("{")
    assert not is_set_up(tmp_path)
    set_up(tmp_path, phrase=WORDS, network=NETWORK)
    assert load(tmp_path).network == NETWORK


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"rpc": "ftp://x", "market": "0x0000000000000000000000000000000000000001"}',
        '{"rpc": "http://x", "market": "0x12"}',
        '{"rpc": "http://x", "market": 5}',
        '{"rpc": "http://x", "market": "0x0000000000000000000000000000000000000001", "chain_id": -1}',
        '{"rpc": "http://x", "market": "0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266"}',
    ],
)
def test_bad_configuration_is_explained(tmp_path: Path, text: str) -> None:
    """A configuration that makes no sense names its file."""
    set_up(tmp_path, phrase=WORDS, network=NETWORK)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(NetworkInvalid, match=r"config\.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ('{"rpc": "http://x", "market": "abc"}', "market: 'abc' is not an address."),
        (
            '{"rpc": "x/KEY", "market": "0x0000000000000000000000000000000000000001"}',
            "rpc: it should begin with",
        ),
    ],
)
def test_configuration_is_explained_in_our_words(tmp_path: Path, fields: str, words: str) -> None:
    """Not in those of the library that checks it, and without a URL that may hold a key."""
    set_up(tmp_path, phrase=WORDS, network=NETWORK)
    (tmp_path / "config.json").write_text(fields)
    with pytest.raises(NetworkInvalid) as raised:
        load(tmp_path)
    assert words in raised.value.message
    assert "Value error" not in raised.value.message
    assert "KEY" not in "".join(traceback.format_exception(raised.value))


def test_nothing_set_up(tmp_path: Path) -> None:
    """The error says what to run."""
    with pytest.raises(NotSetUp) as raised:
        load(tmp_path / "nowhere")
    assert "grange init" in raised.value.hint


def test_lost_configuration(tmp_path: Path) -> None:
    """Words without a configuration are an error of their own, not an invitation to overwrite."""
    set_up(tmp_path, phrase=WORDS, network=NETWORK)
    (tmp_path / "config.json").unlink()
    with pytest.raises(BadConfig):
        load(tmp_path)


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As given, else from the environment, else the platform's place."""
    monkeypatch.setenv("GRANGE_HOME", str(tmp_path / "a"))
    assert home_path(tmp_path / "b") == tmp_path / "b"
    assert home_path(None) == tmp_path / "a"
    monkeypatch.delenv("GRANGE_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert home_path(None).name == "grange"
