"""Where each word stands that the constructors of the market's parts write into their code.

    find_immutables(artifacts)      {"Market": {"token": [834, 4404], ...}, ...}

The compiler calls these words by numbers of its syntax tree, and says of none what it holds. That is seen by
deploying all parts, on the devnet's chain, with parameters of which no two are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from grange.chain import Wallet
from grange.chain.chain_probe import HISTORY_CONTRACT
from grange.chain.codec import Abi
from grange.chain.deployment import PARTS, WORD_BYTES, Place, immutable_words
from grange.types import Address, Parameters, address_from
from grange_devnet.evm import Evm

CHAIN_ID = 987_654
GAS = 15_000_000
FEE_WEI = 20_000_000_000
VALUES: Mapping[str, Any] = {
    # It has code: that is all that a constructor asks of a token.
    "token": address_from(HISTORY_CONTRACT),
    "epoch_blocks": 1000,
    "grid_epochs": 30,
    "max_books": 12,
    "samples": 9,
    "collateral_epochs": 200,
    "max_misses": 4,
    "penalty": 5,
    "fine": 7,
    "auction_epochs": 40,
    "withdraw_delay_epochs": 50,
    "min_stake": 12_345,
    "former_operator_blocks": 60,
}


def find_immutables(artifacts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, list[int]]]:
    """By part and name where in its deployed code each word begins. Raises ValueError for a word that
    `immutable_words` does not have."""
    missing = {one.name for one in fields(Parameters)} - set(VALUES)
    if missing or len(set(VALUES.values())) < len(VALUES):
        raise ValueError(f"scripts/lib/immutables.py needs a value of its own for each of {sorted(missing)}")
    parameters, wallet = Parameters(**VALUES), Wallet(bytes([1]) * WORD_BYTES)
    evm = Evm(chain_id=CHAIN_ID, balances={bytes.fromhex(wallet.address[2:]): 10**24})
    found: dict[str, dict[str, list[int]]] = {}
    behind: Address | None = None
    for nonce, part in enumerate(PARTS):
        compiled = artifacts[part]
        arguments = (parameters,) if behind is None else (parameters, behind)
        code = bytes.fromhex(compiled["bytecode"][2:]) + Abi(compiled["abi"]).encode_constructor(arguments)
        address, runtime = _deployed(evm, wallet, nonce, code)
        place = Place(chain_id=CHAIN_ID, address=address, behind=behind)
        words = {word: name for name, word in immutable_words(parameters, place).items()}
        found[part] = {}
        for references in compiled["immutableReferences"].values():
            starts = sorted(one["start"] for one in references)
            held = {runtime[start : start + WORD_BYTES] for start in starts}
            if len(held) != 1 or not held <= set(words):
                raise ValueError(f"what {part}'s code holds at {starts} is not in `immutable_words`")
            found[part][words[held.pop()]] = starts
        behind = address
    return found


def _deployed(evm: Evm, wallet: Wallet, nonce: int, code: bytes) -> tuple[Address, bytes]:
    raw, tx_hash = wallet.sign_transaction(
        {
            **{"chainId": CHAIN_ID, "nonce": nonce, "gas": GAS, "value": 0, "data": code},
            **{"maxFeePerGas": FEE_WEI, "maxPriorityFeePerGas": 1},
        }
    )
    evm.submit(raw)
    place = evm.executed(tx_hash)
    if place is None:
        raise ValueError("the devnet's chain did not take a part of the market")
    block, index = place
    created = block.executed[index].contract_address
    runtime = evm.code(created, evm.head.number) if created else b""
    if not created or not runtime:
        raise ValueError("a part of the market could not be deployed")
    return address_from(created), runtime
