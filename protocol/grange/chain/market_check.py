"""Whether a market is Grange's own: looked at once, before any money goes there.

    origin = await check_market(chain, first_block=7)
    origin.text                    "created by transaction 0x… in block 7"

What is looked at: the code of all parts, byte by byte, with every word that the constructors write into it
(`deployment.runtime_code`); and how the market came to be. That is needed because a contract of the very same
code may be a forgery: one whose maker wrote balances into its storage first, in a constructor of its own, and
had that return our code. Two things show that our constructor made it:

    the address    deployed by CREATE2, it follows from the creation code. No endpoint can lie about that
    a transaction  in the block that is given as the first, with our creation code, by which its account could
                   deploy nowhere else

The other parts' storage does not matter: they only ever run on the market's. Of several endpoints all that
answer have to show the same: one that does not is named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grange.chain.answers import bytes_from, count, fields_from, hash_from, list_from
from grange.chain.chain_check import BLOCK_METHOD
from grange.chain.codec import artifact
from grange.chain.deployment import (
    FACTORIES,
    PARTS,
    WORD_BYTES,
    Place,
    address_by_nonce,
    addresses_by_create2,
    creation_code,
    immutable_words,
    runtime_code,
)
from grange.chain.errors import (
    AnswerUnreadable,
    ChainError,
    MarketForged,
    OriginUnknown,
    RpcError,
)
from grange.chain.gateway import Chain
from grange.chain.gathering import Question
from grange.types import Address, Parameters, address_from

SHOWN_PLACES: Final = 3
"""Of the words that differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How a market came to be."""

    parts: tuple[Address, ...]
    """In the order of `PARTS`; the last is the market."""
    factory: Address | None = None
    transaction: bytes | None = None
    block: int | None = None

    @property
    def text(self) -> str:
        """The same in words."""
        if self.factory is not None:
            return f"created by our creation code through the factory {self.factory}: its address shows that"
        made = "" if self.transaction is None else f" 0x{self.transaction.hex()}"
        return f"created by our creation code in transaction{made} of block {self.block}"


async def check_market(chain: Chain, *, first_block: int) -> Origin:
    """How the market came to be, if all of its code is ours. `first_block` is the one that it was deployed
    in; 0 if that is not known. Raises MarketForged, OriginUnknown, and what the chain raises."""
    behind = [Address(one) for one in await chain.read("parts")]
    if len(behind) != len(PARTS) - 1:
        raise MarketForged(
            f"the contract at {chain.market} has {len(behind)} parts behind it, not {len(PARTS) - 1}"
        )
    addresses = (*reversed(behind), chain.market)
    for endpoint, codes in await _ask(chain, [("eth_getCode", (one, "latest")) for one in addresses]):
        for index, (part, address, code) in enumerate(zip(PARTS, addresses, codes, strict=True)):
            place = Place(
                chain_id=chain.chain_id, address=address, behind=addresses[index - 1] if index else None
            )
            try:
                _check_code(part, chain.parameters, place, bytes_from(code, "a contract's code"))
            except MarketForged as error:
                raise MarketForged(f"{error}{endpoint}") from None
    for factory in FACTORIES:
        if addresses_by_create2(chain.parameters, factory) == addresses:
            return Origin(parts=addresses, factory=factory)
    return await _find_transaction(chain, addresses, first_block)


async def _ask(chain: Chain, questions: Sequence[Question]) -> list[tuple[str, list[Any]]]:
    """The answers of each endpoint that gives some, and how it is named where there are several."""
    rpc = chain.rpc
    if rpc.is_alone:
        return [("", await rpc.batch(questions))]
    said = await rpc.ask_everybody(questions)
    answered = [
        (f", by the endpoint {connection.name}", answers)
        for connection, answers in said
        if not isinstance(answers, ChainError)
    ]
    if not answered:
        raise said[0][1]
    return answered


def _check_code(part: str, parameters: Parameters, place: Place, code: bytes) -> None:
    expected = runtime_code(part, parameters, place)
    if code == expected:
        return
    name = "the market" if part == PARTS[-1] else f"its part {part}"
    if not code:
        raise MarketForged(f"there is no code at {place.address}, where {name} should be")
    if len(code) != len(expected):
        raise MarketForged(
            f"the code of {name} at {place.address} has {len(code)} bytes, and that of this version "
            f"of Grange has {len(expected)}"
        )
    written = _wrong_words(part, parameters, place, code)
    first = next(i for i in range(len(code)) if code[i] != expected[i])
    where = f"in {', '.join(written[:SHOWN_PLACES])}" if written else f"from byte {first} on"
    raise MarketForged(
        f"the code of {name} at {place.address} is not that of this version of Grange: it differs {where}"
    )


def _wrong_words(part: str, parameters: Parameters, place: Place, code: bytes) -> list[str]:
    """Names of what a constructor should have written otherwise."""
    words = immutable_words(parameters, place)
    return [
        name
        for name, starts in artifact(part).immutables.items()
        if any(code[start : start + WORD_BYTES] != words[name] for start in starts)
    ]


async def _find_transaction(chain: Chain, addresses: Sequence[Address], first_block: int) -> Origin:
    if not first_block:
        raise OriginUnknown(
            f"nothing shows how the market at {chain.market} came to be: its address does not, and the block "
            "that it was deployed in is not given"
        )
    code = creation_code(PARTS[-1], chain.parameters, addresses[-2])
    found: bytes | None = None
    try:
        for endpoint, (block,) in await _ask(chain, [(BLOCK_METHOD, (hex(first_block), True))]):
            if block is None:
                continue
            found = _transaction_in(block, first_block, code, chain.market)
            if found is None:
                raise OriginUnknown(
                    f"block {first_block} has no transaction by which our code was deployed at "
                    f"{chain.market}{endpoint}"
                )
    except (AnswerUnreadable, RpcError):
        found = None
    if found is None:
        raise OriginUnknown(
            f"no endpoint shows block {first_block}, in which the market at {chain.market} should have been "
            "deployed"
        )
    return Origin(parts=tuple(addresses), transaction=found, block=first_block)


def _transaction_in(block: object, number: int, code: bytes, market: Address) -> bytes | None:
    """The hash of the transaction in a block that created the market."""
    fields = fields_from(block, "a block")
    if count(fields["number"], "a block's number") != number:
        raise AnswerUnreadable(f"block {number}", "it has another number")
    for one in list_from(fields["transactions"], "a block's transactions"):
        transaction = fields_from(one, "a transaction")
        if _creates(transaction, code, market):
            return hash_from(transaction["hash"], "a transaction")
    return None


def _creates(transaction: Mapping[str, Any], code: bytes, market: Address) -> bool:
    if transaction["to"] is not None or bytes_from(transaction["input"], "a transaction's data") != code:
        return False
    nonce = count(transaction["nonce"], "a nonce")
    sender = bytes_from(transaction["from"], "a transaction's sender")
    return address_by_nonce(address_from(sender), nonce) == market
