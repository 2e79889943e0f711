"""Presets: a reason for each parameter, values that the contract takes, and words for what differs."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from grange.chain import Wallet
from grange.chain.chain_probe import HISTORY_CONTRACT
from grange.chain.deployment import PARTS, creation_code
from grange.chain.presets import MEANINGS, PRESETS, differences, nearest_preset
from grange.types import Parameters, address_from
from grange.units import TOKEN
from grange_devnet import DEVNET_PARAMETERS
from grange_devnet.evm import Evm

ROOT = Path(__file__).parents[2]
SOME_CONTRACT = address_from(HISTORY_CONTRACT)
NAMES = [one.name for one in fields(Parameters) if one.name != "token"]
RICH = Wallet(bytes([1]) * 32)


@pytest.mark.parametrize("name", PRESETS)
def test_the_contract_takes_every_preset(name: str) -> None:
    evm = Evm(chain_id=1337, balances={bytes.fromhex(RICH.address[2:]): 10**24})
    parameters = PRESETS[name].parameters(SOME_CONTRACT, decimals=6)
    raw, tx_hash = RICH.sign_transaction(
        {
            **{"chainId": 1337, "nonce": 0, "gas": 15_000_000, "value": 0},
            **{"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 1},
            "data": creation_code(PARTS[0], parameters, None),
        }
    )
    evm.submit(raw)
    place = evm.executed(tx_hash)
    assert place is not None
    assert place[0].executed[place[1]].succeeded


@pytest.mark.parametrize("name", PRESETS)
def test_every_parameter_has_a_value_a_reason_and_words_and_the_page_says_them(name: str) -> None:
    preset = PRESETS[name]
    assert set(preset.values) | {"min_stake"} == set(preset.reasons) == set(MEANINGS) == set(NAMES)
    page = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    table = page.split(f"**{name}**: {preset.about}.")[1].split("\n\n")[1]
    rows = [f"| `{one}` | {preset.value_text(one)} | {preset.reasons[one]} |" for one in NAMES]
    assert table.splitlines()[2:] == rows


def test_the_least_stake_is_in_the_tokens_own_unit() -> None:
    for decimals in (0, 6, 18):
        assert PRESETS["rollup"].parameters(SOME_CONTRACT, decimals=decimals).min_stake == 2 * 10**decimals
        assert PRESETS["test"].parameters(SOME_CONTRACT, decimals=decimals).min_stake == 1


def test_devnets_have_the_preset_for_tests() -> None:
    assert differences(DEVNET_PARAMETERS, decimals=18, preset=PRESETS["test"]) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_that_is_higher_or_lower_is_explained_in_words_of_its_own(name: str) -> None:
    usual = PRESETS["mainnet"].parameters(SOME_CONTRACT, decimals=18)
    value = getattr(usual, name)
    said = []
    for other in (value - 1, value + 1):
        changed = replace(usual, **{name: other})
        assert nearest_preset(changed, decimals=18) is PRESETS["mainnet"]
        (one,) = differences(changed, decimals=18, preset=PRESETS["mainnet"])
        assert (one.name, one.value, one.usual) == (name, other, value)
        said.append(one.meaning)
    assert said[0] != said[1]
    assert all(text.endswith(".") for text in said)


def test_the_nearest_preset_is_the_one_with_fewest_differences() -> None:
    for preset in PRESETS.values():
        near = replace(preset.parameters(SOME_CONTRACT, decimals=18), min_stake=7 * TOKEN)
        assert nearest_preset(near, decimals=18) is preset
