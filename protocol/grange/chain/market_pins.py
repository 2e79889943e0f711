"""What a market's code was when it was looked at, so that each start sees that it is the same.

    chain.pins = await look_at_market(chain, first_block=7)       code and origin, once
    pins.fits(chain_id, market, genesis)                          later: of this very market?
    pins.question(), pins.check(url, answer)                      and is the code there still that

A setting that was edited, a network's file that was swapped, an endpoint of another chain: where the pins do
not fit there are none, and the market is looked at again. Where they fit the hashes of all parts' code come
with what each endpoint has to show anyway (`chain_check`), as what a program returns that is not deployed: a
word for each part, and not the code.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from grange.chain.answers import bytes_from
from grange.chain.endpoint import public_part
from grange.chain.errors import AnswerUnreadable, MarketForged, MarketNotFound, RpcError
from grange.chain.gathering import Question
from grange.keccak import keccak256
from grange.storage.atomic_file import replace_file
from grange.types import Address, checked_address

PINS_NAME: Final = "market.json"
MAX_FILE_BYTES: Final = 1 << 16
MAX_PARTS: Final = 200
ONE_ENDPOINT: Final = (
    "Only one endpoint says how this market came to be, and its address does not show it: if the endpoint "
    "lies, the market may be forged. With a second --rpc, of somebody else, both have to show it."
)
_WORD: Final = 32
_EMPTY: Final = keccak256(b"")

How = Literal["address", "endpoints", "endpoint", "trusted"]
"""What showed that the market is Grange's: its address, several endpoints, one endpoint, or nothing: a person
said so."""

_AddressText = Annotated[str, AfterValidator(checked_address)]
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class MarketPins(BaseModel):
    """A market that was looked at, with the hash of the code of each of its parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    chain_id: int
    genesis_hash: _Hash | None = None
    market: _AddressText
    how: How
    codes: dict[_AddressText, _Hash] = Field(min_length=1, max_length=MAX_PARTS)

    def fits(self, chain_id: int | None, market: Address, genesis: bytes | None) -> bool:
        """Whether it is this market that was looked at, on this chain."""
        hashed = None if genesis is None else genesis.hex()
        return (self.chain_id, self.market, self.genesis_hash) == (chain_id, market, hashed)

    @property
    def caution(self) -> str:
        """What a person should know before money goes there; empty if there is nothing."""
        return ONE_ENDPOINT if self.how == "endpoint" else ""

    def question(self) -> Question:
        """For the hashes of all the code."""
        return "eth_call", ({"data": "0x" + code_hashes_program(self._addresses()).hex()}, "latest")

    def check(self, url: str, answer: object) -> None:
        """Raise MarketNotFound or MarketForged unless the endpoint showed the same code."""
        if isinstance(answer, RpcError):
            raise answer
        shown = code_hashes_from(answer, len(self.codes))
        for address, code in zip(self._addresses(), shown, strict=True):
            if code.hex() == self.codes[address]:
                continue
            if address == self.market and code in (bytes(_WORD), _EMPTY):
                raise MarketNotFound(url, address, "no contract at this address")
            raise MarketForged(
                f"the code at {address} is not what it was when the market was looked at, by the endpoint "
                f"{public_part(url)}"
            )

    def _addresses(self) -> list[Address]:
        return [Address(one) for one in self.codes]


def pins_from(
    chain_id: int, market: Address, genesis: bytes | None, codes: Mapping[Address, bytes], how: How
) -> MarketPins:
    """Of a market whose parts have this code, or code of these hashes."""
    return MarketPins(
        chain_id=chain_id,
        market=market,
        genesis_hash=None if genesis is None else genesis.hex(),
        how=how,
        codes={address: keccak256(code).hex() for address, code in codes.items()},
    )


def code_hashes_program(addresses: Sequence[Address]) -> bytes:
    """A constructor that returns the hash of the code at each address (EIP-1052)."""
    program = bytearray()
    for index, address in enumerate(addresses):
        # PUSH20 address, EXTCODEHASH, PUSH2 place, MSTORE
        program += b"\x73" + bytes.fromhex(address[2:]) + b"\x3f\x61" + (_WORD * index).to_bytes(2) + b"\x52"
    # PUSH2 length, PUSH1 0, RETURN
    return bytes(program + b"\x61" + (_WORD * len(addresses)).to_bytes(2) + b"\x60\x00\xf3")


def code_hashes_from(answer: object, count: int) -> list[bytes]:
    """What that program returned. Raises AnswerUnreadable."""
    words = bytes_from(answer, "hashes of code")
    if len(words) != _WORD * count:
        raise AnswerUnreadable("hashes of code", f"{len(words)} bytes instead of {_WORD * count}")
    return [words[at : at + _WORD] for at in range(0, len(words), _WORD)]


def read_pins(path: Path) -> MarketPins | None:
    """What a home remembers; None where it remembers nothing that can be read: then the market is looked at
    again."""
    try:
        with path.open("rb") as file:
            return MarketPins.model_validate_json(file.read(MAX_FILE_BYTES))
    except (OSError, ValidationError):
        return None


def write_pins(path: Path, pins: MarketPins) -> None:
    """Remember it. What can't be written is looked at again."""
    with suppress(OSError):
        replace_file(path, json.dumps(pins.model_dump(), indent=2) + "\n")
