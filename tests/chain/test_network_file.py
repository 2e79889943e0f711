"""The file that says which chain and which market: one form for the devnet, renters and farms."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from grange.chain.network_file import DevnetAddress, Network, NetworkFileInvalid, read_network
from grange.types import address_from

MARKET = address_from("0x" + "11" * 20)
TOKEN = address_from("0x" + "22" * 20)
KEY = bytes(range(32))
PLACE = DevnetAddress(rpc="http://127.0.0.1:8545", chain_id=1337, market=MARKET, token=TOKEN, faucet_key=KEY)
SECRET = "5ec4e7"


def test_a_devnet_reads_back_what_it_wrote_and_others_read_what_they_need(tmp_path: Path) -> None:
    path = tmp_path / "devnet.json"
    PLACE.write(path)
    assert DevnetAddress.read(path) == PLACE
    assert read_network(path) == Network(rpc=PLACE.rpc, market=MARKET, chain_id=1337)
    assert set(json.loads(path.read_text())) == {"rpc", "chain_id", "market", "token", "faucet_key"}


def test_endpoint_and_market_are_enough_for_who_is_no_devnet(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    path.write_text(json.dumps({"rpc": "https://chain.example", "market": MARKET.lower()}))
    assert read_network(path) == Network(rpc="https://chain.example", market=MARKET)
    with pytest.raises(NetworkFileInvalid, match=r"chain_id: .*token: .*faucet_key: "):
        DevnetAddress.read(path)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("rpc", f"ftp://chain.example/{SECRET}", "rpc: it should begin with http:// or https://"),
        ("market", "0x12", "market: "),
        ("token", 7, "token: "),
        ("chain_id", 0, "chain_id: "),
        ("faucet_key", f"no key {SECRET}", "faucet_key: it is not hexadecimal"),
    ],
)
def test_a_field_that_is_wrong_is_named_and_no_secret_is_shown(
    tmp_path: Path, field: str, value: Any, words: str
) -> None:
    path = tmp_path / "devnet.json"
    PLACE.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(NetworkFileInvalid) as raised:
        DevnetAddress.read(path)
    assert words in str(raised.value)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b'{"rpc": NaN}', b"[" * 100_000])
def test_a_file_of_something_else_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "devnet.json"
    path.write_bytes(content)
    for read in (read_network, DevnetAddress.read):
        with pytest.raises(NetworkFileInvalid, match=r"devnet\.json (does not describe|cannot be read)"):
            read(path)


def test_a_missing_file_says_how_to_get_one_and_a_folder_is_none(tmp_path: Path) -> None:
    with pytest.raises(NetworkFileInvalid, match="grange devnet"):
        read_network(tmp_path / "none.json")
    with pytest.raises(NetworkFileInvalid, match="cannot be read"):
        read_network(tmp_path)


def test_several_endpoints_are_a_list_and_each_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "network.json"

    def read(*urls: str) -> Network:
        path.write_text(json.dumps({"rpc": list(urls), "market": MARKET}))
        return read_network(path)

    network = read("https://one.example", "https://two.example")
    assert network.rpc == ("https://one.example", "https://two.example")
    assert Network.model_validate_json(network.model_dump_json()) == network
    for urls, words in (
        (["https://one.example", f"ftp://{SECRET}"], "it should begin with http"),
        (["https://one.example", "https://one.example"], "the same endpoint is given twice"),
        ([], "1 to 8 endpoints"),
        ([f"https://{number}.example" for number in range(9)], "1 to 8 endpoints"),
    ):
        with pytest.raises(NetworkFileInvalid, match=words) as raised:
            read(*urls)
        assert SECRET not in str(raised.value)
