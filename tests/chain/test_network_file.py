"""What says which chain and which market: one form for the devnet, renters and farms."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest
import typer

from grange.chain import network_file
from grange.chain.network_file import (
    Network,
    NetworkInvalid,
    find_network,
    known_networks,
    read_network,
    write_network,
)
from grange.cli.network_options import chosen_network
from grange.types import address_from

MARKET = address_from("0x" + "11" * 20)
TOKEN = address_from("0x" + "22" * 20)
NETWORK = Network(
    name="town",
    rpc="http://127.0.0.1:8545",
    chain_id=1337,
    market=MARKET,
    token=TOKEN,
    token_symbol="USDC",
    token_decimals=6,
    first_block=7,
    genesis_hash="ab" * 32,
    explorer="https://explorer.example",
)
SECRET = "5ec4e7"


def test_what_was_written_reads_back_and_anyone_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "town.json"
    write_network(path, NETWORK)
    assert read_network(path) == NETWORK
    assert set(json.loads(path.read_text())) == set(Network.model_fields)
    assert path.stat().st_mode & 0o777 == 0o644


def test_endpoint_and_market_are_enough_and_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    path.write_text(json.dumps({"rpc": "https://chain.example", "market": MARKET.lower()}))
    network = read_network(path)
    assert network == Network(rpc="https://chain.example", market=MARKET)
    assert json.loads(network.to_json()) == {"rpc": "https://chain.example", "market": MARKET}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("rpc", f"ftp://chain.example/{SECRET}", "rpc: it should begin with http:// or https://"),
        ("rpc", f"https://chain.example/{SECRET}\nmarket: 0x", "rpc: it should have no blanks"),
        ("rpc", ["https://a.example", f"https://b.example/{SECRET}\x1b[2J"], "rpc: it should have no blanks"),
        ("rpc", f"https://chain.example/{SECRET} ", "rpc: it should have no blanks"),
        ("explorer", f"https://chain.example/{SECRET}\u2028", "explorer: it should have no blanks"),
        ("market", "0x12", "market: "),
        ("token", 7, "token: "),
        ("token_decimals", 78, "token_decimals: "),
        ("token_decimals", -1, "token_decimals: "),
        ("token_symbol", "x" * 21, "token_symbol: "),
        ("chain_id", 0, "chain_id: "),
        ("first_block", -1, "first_block: "),
        ("name", "../town", "name: "),
        ("explorer", f"javascript:{SECRET}", "explorer: it should begin with http:// or https://"),
        ("frist_block", 7, "frist_block: "),
    ],
)
def test_a_field_that_is_wrong_or_unknown_is_named_and_no_secret_is_shown(
    tmp_path: Path, field: str, value: Any, words: str
) -> None:
    path = tmp_path / "town.json"
    path.write_text(json.dumps(json.loads(NETWORK.to_json()) | {field: value}))
    with pytest.raises(NetworkInvalid) as raised:
        read_network(path)
    assert words in str(raised.value)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b'{"rpc": NaN}', b"[" * 100_000])
def test_a_file_of_something_else_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "town.json"
    path.write_bytes(content)
    with pytest.raises(NetworkInvalid, match=r"town\.json (does not describe|cannot be read)"):
        read_network(path)


def test_a_missing_file_says_how_to_get_one_and_a_folder_is_none(tmp_path: Path) -> None:
    with pytest.raises(NetworkInvalid, match="grange devnet"):
        read_network(tmp_path / "none.json")
    with pytest.raises(NetworkInvalid, match="cannot be read"):
        read_network(tmp_path)


def test_several_endpoints_are_a_list_and_each_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "network.json"

    def read(*urls: str) -> Network:
        path.write_text(json.dumps({"rpc": list(urls), "market": MARKET}))
        return read_network(path)

    network = read("https://one.example", "https://two.example")
    assert network.rpc == ("https://one.example", "https://two.example")
    assert Network.model_validate_json(network.to_json()) == network
    for urls, words in (
        (["https://one.example", f"ftp://{SECRET}"], "it should begin with http"),
        (["https://one.example", "https://one.example"], "the same endpoint is given twice"),
        ([], "1 to 8 endpoints"),
        ([f"https://{number}.example" for number in range(9)], "1 to 8 endpoints"),
    ):
        with pytest.raises(NetworkInvalid, match=words) as raised:
            read(*urls)
        assert SECRET not in str(raised.value)


def test_a_name_is_that_of_a_network_that_comes_along_else_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a name that is neither is told which there are."""
    known, here = tmp_path / "networks", tmp_path / "here"
    known.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(network_file, "_KNOWN", known)
    with pytest.raises(NetworkInvalid, match="knows none by name yet"):
        find_network("town")
    write_network(known / "town.json", NETWORK)
    write_network(known / "village.json", NETWORK.model_copy(update={"name": "village"}))
    other = NETWORK.model_copy(update={"name": "other"})
    write_network(here / "town", other)
    write_network(here / "field", other)
    assert find_network("town") == NETWORK
    assert find_network("./town") == find_network("field") == other
    with pytest.raises(NetworkInvalid, match=r"There is no network called 'twon'.* knows town, village\."):
        find_network("twon")
    with pytest.raises(NetworkInvalid, match=r"There is no twon\.json"):
        find_network("twon.json")


def test_every_network_that_comes_along_is_valid_and_called_as_its_file() -> None:
    for name in known_networks():
        network = find_network(name)
        assert network.name == name
        assert network.chain_id
        assert network.first_block


def test_endpoints_of_ones_own_take_the_place_of_the_networks(tmp_path: Path) -> None:
    path = tmp_path / "town.json"
    write_network(path, NETWORK)
    own = chosen_network(str(path), ["https://mine.example"], None, None)
    assert own == NETWORK.model_copy(update={"rpc": "https://mine.example"})
    by_hand = chosen_network(None, ["https://a.example", "https://b.example"], MARKET, 7)
    assert by_hand == Network(rpc=("https://a.example", "https://b.example"), market=MARKET, first_block=7)
    with pytest.raises(NetworkInvalid, match=r"--rpc: it should begin") as raised:
        chosen_network(str(path), [f"ftp://{SECRET}"], None, None)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    "options",
    [
        (None, None, None, None),
        (None, ["http://x"], None, None),
        (None, None, MARKET, None),
        ("x", None, MARKET, None),
        ("x", None, None, 5),
    ],
)
def test_half_of_a_network_is_wrong_usage(options: tuple[Any, Any, Any, Any]) -> None:
    with pytest.raises(typer.BadParameter, match="Give --network"):
        chosen_network(*options)
