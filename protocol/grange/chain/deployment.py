"""The market's parts: what deploys each by a transaction of its own, and what is to be found there then.

    behind = None
    for part in PARTS:
        behind = deploy(creation_code(part, parameters, behind))
    market = behind

Each part hands on to the one before it in this list the calls that it does not have. All of a part's code
follows from the parameters, the chain and where the parts are: `runtime_code`. Deployed by CREATE2, that
follows from the parameters as well: `addresses_by_create2`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from grange.chain.codec import artifact
from grange.chain.rlp import encode_rlp
from grange.keccak import keccak256
from grange.messages import DOMAIN_NAME, DOMAIN_VERSION, Domain
from grange.types import Address, Parameters, address_from

PARTS = ("MarketAccounts", "MarketSlots", "MarketFarmers", "Market")
"""In the order in which they are deployed; the last is the market."""
WORD_BYTES: Final = 32
SALT: Final = bytes(WORD_BYTES)
"""With it the parts are deployed by CREATE2: one market for the same parameters, and no second by mistake."""
FACTORIES: Final = (
    Address("0x4e59b44847b379578588920cA78FbF26c0B4956C"),
    Address("0x914d7Fec6aaC8cd542e72Bca78B30650d45643d7"),
)
"""Contracts that are at the same address on most chains, and deploy by CREATE2 for anyone: the one that
Foundry and others use, and Safe's. They take a salt and the creation code behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a part is, and where the one that it hands on to."""

    chain_id: int
    address: Address
    behind: Address | None


def creation_code(part: str, parameters: Parameters, behind: Address | None) -> bytes:
    """What a transaction to nobody carries, to deploy a part.

    `behind` is the address of the part before it; None for the first.
    """
    arguments = (parameters,) if behind is None else (parameters, behind)
    return artifact(part).creation_code(*arguments)


def runtime_code(part: str, parameters: Parameters, place: Place) -> bytes:
    """The code that is at a part's address, with all that its constructor wrote into it."""
    compiled = artifact(part)
    code, values = bytearray(compiled.runtime), immutable_words(parameters, place)
    for name, starts in compiled.immutables.items():
        for start in starts:
            code[start : start + WORD_BYTES] = values[name]
    return bytes(code)


def immutable_words(parameters: Parameters, place: Place) -> dict[str, bytes]:
    """What the constructors write into the code, by name: the parameters, the next part, and the domain of
    signatures as OpenZeppelin keeps it."""
    words = {one.name: _word(getattr(parameters, one.name)) for one in fields(Parameters)}
    words |= {
        "domain_separator": Domain(chain_id=place.chain_id, market=place.address).separator,
        "chain_id": _word(place.chain_id),
        "address": _word(place.address),
    }
    for name, text in (("name", DOMAIN_NAME), ("version", DOMAIN_VERSION)):
        words[f"domain_{name}"] = text.encode().ljust(WORD_BYTES - 1, b"\0") + bytes([len(text)])
        words[f"domain_{name}_hash"] = keccak256(text.encode())
    if place.behind is not None:
        words["behind"] = _word(place.behind)
    return words


def addresses_by_create2(parameters: Parameters, factory: Address) -> tuple[Address, ...]:
    """Where the parts are, in order, if that factory deploys them with `SALT`."""
    addresses: list[Address] = []
    for part in PARTS:
        code = creation_code(part, parameters, addresses[-1] if addresses else None)
        content = b"\xff" + bytes.fromhex(factory[2:]) + SALT + keccak256(code)
        addresses.append(address_from(keccak256(content)[-20:]))
    return tuple(addresses)


def address_by_nonce(sender: Address, nonce: int) -> Address:
    """Where what an account deploys by its transaction of that nonce is."""
    return address_from(keccak256(encode_rlp([bytes.fromhex(sender[2:]), nonce]))[-20:])


def _word(value: int | Address) -> bytes:
    number = value if isinstance(value, int) else int(value, 16)
    return number.to_bytes(WORD_BYTES)
