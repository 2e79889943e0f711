"""Settings and keys: read once, checked, and never left readable or half-written."""

import json
from pathlib import Path
from typing import Any

import pytest
from node_support import OFFER, OPERATOR, PARAMETERS, config_for

from grange.chain import (
    ChainError,
    ChainTimeout,
    ChainUnavailable,
    InsufficientFunds,
    MarketNotFound,
    TransactionReverted,
    Wallet,
    WrongChain,
)
from grange.chain.key_file import KeyInvalid
from grange.cli.presenter import explain
from grange.errors import GrangeError, Misuse
from grange_node.api.serve import default_listen, with_port
from grange_node.cli.common import GUIDANCE
from grange_node.cli.repair_home import CONFIG_NAME as REPAIR_CONFIG_NAME
from grange_node.cli.repair_home import load_repair_config
from grange_node.config import (
    CONFIG_NAME,
    KEY_NAME,
    home_folder,
    load_config,
    load_key,
    load_or_create_key,
    save_config,
    split_endpoint,
    write_private,
)
from grange_node.errors import ConfigInvalid, DataInUse, NotFunded, NotInitialised, StorageFull


def test_settings_survive_being_written_and_read(tmp_path: Path) -> None:
    config = config_for(tmp_path / "data")
    save_config(tmp_path, config)
    assert load_config(tmp_path) == config
    assert (config.offer, config.parameters) == (OFFER, PARAMETERS)
    assert (tmp_path / CONFIG_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [CONFIG_NAME]


def test_a_home_without_a_farm_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(NotInitialised, match="grange farm init"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"market": "0x12"},
        {"market": "0x" + "1" * 39 + "g"},
        {"farmer_id": 0},
        {"chain_id": "main"},
        {"version": 2},
        {"surprise": True},
        {"endpoint": ""},
        {"market_parameters": {}},
        {"offer_terms": {"price_per_gib_epoch": -1}},
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path: Path, change: dict[str, Any]) -> None:
    content = json.loads(config_for(tmp_path).model_dump_json()) | change
    (tmp_path / CONFIG_NAME).write_text(json.dumps(content))
    with pytest.raises(ConfigInvalid, match=next(iter(change))):
        load_config(tmp_path)


@pytest.mark.parametrize(("is_there", "advice"), [(False, "another version of Grange"), (True, "Correct it")])
def test_settings_of_another_version_are_told_from_mistaken_ones(
    tmp_path: Path, is_there: bool, advice: str
) -> None:
    content = json.loads(config_for(tmp_path).model_dump_json())
    content["market"] = "0x12"
    if not is_there:
        del content["market"]
    (tmp_path / CONFIG_NAME).write_text(json.dumps(content))
    with pytest.raises(ConfigInvalid) as refused:
        load_config(tmp_path)
    assert advice in refused.value.hint


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / CONFIG_NAME).write_text(text)
    with pytest.raises(ConfigInvalid):
        load_config(tmp_path)


def test_a_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    made = load_or_create_key(tmp_path / "home")
    assert load_or_create_key(tmp_path / "home").address == made.address
    assert (tmp_path / "home" / KEY_NAME).stat().st_mode & 0o777 == 0o600


def test_a_key_of_two_inits_at_once_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A farmer must not be registered under a key that another process has replaced."""
    other = []

    def made_meanwhile() -> Wallet:
        write_private(tmp_path / KEY_NAME, OPERATOR.private_key.hex())
        other.append(load_key(tmp_path))
        return Wallet(b"\x07" * 32)

    monkeypatch.setattr("grange_node.config.Wallet.random", made_meanwhile)
    assert load_or_create_key(tmp_path).address == other[0].address == OPERATOR.address


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / KEY_NAME, OPERATOR.private_key.hex())
    assert load_key(tmp_path).address == OPERATOR.address
    (tmp_path / KEY_NAME).chmod(0o640)
    with pytest.raises(KeyInvalid, match="chmod 600"):
        load_key(tmp_path)


@pytest.mark.parametrize("text", ["", "12", "zz" * 32, "00" * 32, "ff" * 32, "11" * 31])
def test_what_is_no_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    write_private(tmp_path / KEY_NAME, text)
    with pytest.raises(KeyInvalid) as caught:
        load_key(tmp_path)
    said = str(caught.value).replace(str(tmp_path), "")
    assert not text or text not in said


def test_files_of_other_bytes_than_text_are_refused_in_words(tmp_path: Path) -> None:
    for name in (CONFIG_NAME, KEY_NAME, REPAIR_CONFIG_NAME):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00")
        (tmp_path / name).chmod(0o600)
    with pytest.raises(ConfigInvalid, match=CONFIG_NAME):
        load_config(tmp_path)
    with pytest.raises(KeyInvalid, match=KEY_NAME):
        load_key(tmp_path)
    with pytest.raises(ConfigInvalid, match=REPAIR_CONFIG_NAME):
        load_repair_config(tmp_path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyInvalid, match=KEY_NAME):
        load_key(tmp_path)


def test_home_is_as_given_or_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANGE_HOME", str(tmp_path / "env"))
    assert home_folder(tmp_path) == tmp_path
    assert home_folder(None) == tmp_path / "env"
    monkeypatch.delenv("GRANGE_HOME")
    assert home_folder(None).name == "grange"


@pytest.mark.parametrize(
    ("endpoint", "host", "port"),
    [
        ("http://127.0.0.1:0", "127.0.0.1", 0),
        ("http://farm.example", "farm.example", 80),
        ("https://farm.example/", "farm.example", 443),
        ("http://[::1]:8000", "::1", 8000),
    ],
)
def test_an_endpoint_has_host_and_port(endpoint: str, host: str, port: int) -> None:
    assert split_endpoint(endpoint) == (host, port)


@pytest.mark.parametrize(
    "endpoint", ["", "farm.example:80", "ftp://x", "http://", "http://x:99999", "http://x/path", "http://x:a"]
)
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigInvalid):
        split_endpoint(endpoint)


def test_port_zero_is_announced_as_the_port_we_got() -> None:
    assert with_port("http://127.0.0.1:0", 4711) == "http://127.0.0.1:4711"
    assert with_port("http://[::1]:0", 4711) == "http://[::1]:4711"
    assert with_port("https://farm.example/", 4711) == "https://farm.example"


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("http://127.0.0.1:5", "127.0.0.1"),
        ("http://127.0.0.9:5", "127.0.0.9"),
        ("http://localhost:5", "127.0.0.1"),
        ("http://[::1]:5", "::1"),
        ("http://192.0.2.1:5", "0.0.0.0"),
        ("http://[2001:db8::1]:5", "::"),
        ("http://farm.example:5", "::"),
    ],
)
def test_we_listen_where_the_endpoint_is_announced(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, host: str
) -> None:
    monkeypatch.setattr("socket.has_dualstack_ipv6", lambda: True)
    assert default_listen(endpoint) == (host, 5)


def test_a_name_is_served_without_ipv6_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.has_dualstack_ipv6", lambda: False)
    assert default_listen("http://farm.example:5") == ("0.0.0.0", 5)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotInitialised("x"), 3),
        (Misuse("x"), 2),
        (ChainUnavailable("u", "down"), 8),
        (ChainTimeout("u", "m", 1), 8),
        (WrongChain("u", 1, 2), 11),
        (MarketNotFound("u", "0x", "r"), 11),
        (NotFunded("x"), 5),
        (InsufficientFunds("0x", "d"), 5),
        (TransactionReverted("f", "Name", {}), 12),
        (DataInUse("x"), 9),
        (StorageFull("x"), 4),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: GrangeError, code: int) -> None:
    explanation = explain(error, GUIDANCE)
    assert explanation.exit_code == code
    if isinstance(error, ChainError):
        assert explanation.hint
