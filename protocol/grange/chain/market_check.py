"""Whether a market is Grange's own: looked at once, before any money goes there, and known again by its pins.

    origin = await check_market(chain, first_block=7)
    origin.text                    "created by transaction 0x… in block 7"
    async with open_market(urls, market, pins=pins, chain_id=1, genesis=None) as chain: ...

What is looked at: the code of all parts, byte by byte, with every word that the constructors write into it
(`deployment.runtime_code`); and how the market came to be. That is needed because a contract of the very same
code may be a forgery: one whose maker wrote balances into its storage first, in a constructor of its own, and
had that return our code. Two things show that our constructor made it:

    the address    deployed by CREATE2, it follows from the creation code. No endpoint can lie about that
    a transaction  in the block that is given as the first, with our creation code, by which its account could
                   deploy nowhere else

The other parts' storage does not matter: they only ever run on the market's. Of several endpoints all that
answer have to show the same: one that does not is named. A transaction has to be shown by two of them.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from grange.chain.answers import bytes_from, count, fields_from, hash_from, list_from
from grange.chain.chain_check import BLOCK_METHOD
from grange.chain.codec import artifact
from grange.chain.connection import Timeouts
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
from grange.chain.endpoint_notes import EndpointNotes
from grange.chain.errors import (
    AnswerUnreadable,
    ChainError,
    ChainUnavailable,
    MarketForged,
    OriginUnknown,
    RpcError,
)
from grange.chain.gateway import Chain
from grange.chain.gathering import Question
from grange.chain.market_pins import How, MarketPins, pins_from
from grange.token_unit import TokenUnit
from grange.types import Address, Parameters, address_from

SHOWN_PLACES: Final = 3
"""Of the words that differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How a market came to be."""

    parts: tuple[Address, ...]
    """In the order of `PARTS`; the last is the market."""
    codes: tuple[bytes, ...]
    """What is at each of them."""
    factory: Address | None = None
    transaction: bytes | None = None
    block: int | None = None
    witnesses: int = 0
    """How many endpoints showed the transaction."""

    @property
    def how(self) -> How:
        """What shows it."""
        if self.factory is not None:
            return "address"
        return "endpoints" if self.witnesses > 1 else "endpoint"

    @property
    def text(self) -> str:
        """The same in words."""
        if self.factory is not None:
            return f"created by our creation code through the factory {self.factory}: its address shows that"
        made = "" if self.transaction is None else f" 0x{self.transaction.hex()}"
        return f"created by our creation code in transaction{made} of block {self.block}"


@asynccontextmanager
async def open_market(
    rpc_urls: str | Sequence[str],
    market: Address,
    *,
    pins: MarketPins | None,
    chain_id: int | None,
    genesis: bytes | None,
    first_block: int = 0,
    timeouts: Timeouts | None = None,
    notes: EndpointNotes | None = None,
    unit: TokenUnit | None = None,
) -> AsyncIterator[Chain]:
    """Connect to a market that money goes to. Where `pins` are of this very market its code has to be the
    same, which costs no request; else it is looked at now, and `chain.pins` are others. Raises MarketForged,
    OriginUnknown, and what `Chain.connect` raises."""
    kept = pins if pins is not None and pins.fits(chain_id, market, genesis) else None
    async with Chain.connect(
        rpc_urls,
        market,
        timeouts=timeouts,
        expected_chain_id=chain_id,
        expected_genesis=genesis,
        pins=kept,
        notes=notes,
        unit=unit,
    ) as chain:
        if kept is None:
            chain.pins = await look_at_market(chain, first_block=first_block, genesis=genesis)
        yield chain


async def look_at_market(chain: Chain, *, first_block: int, genesis: bytes | None) -> MarketPins:
    """Check a market, and give what later starts go by. Raises what `check_market` raises."""
    origin = await check_market(chain, first_block=first_block)
    codes = dict(zip(origin.parts, origin.codes, strict=True))
    return pins_from(chain.chain_id, chain.market, genesis, codes, origin.how)


async def trust_market(chain: Chain, *, genesis: bytes | None) -> MarketPins:
    """The same of a market that a person trusts, whatever it is. Raises ChainError."""
    code = bytes_from(await chain.rpc.call("eth_getCode", chain.market, "latest"), "a contract's code")
    return pins_from(chain.chain_id, chain.market, genesis, {chain.market: code}, "trusted")


async def check_market(chain: Chain, *, first_block: int) -> Origin:
    """How the market came to be, if all of its code is ours. `first_block` is the one that it was deployed
    in; 0 if that is not known. Raises MarketForged, OriginUnknown, and what the chain raises.

    Where its address does not show it, a single endpoint that lies can make a market up: of several two have
    to show the transaction, and with one `Origin.how` says that there was one.
    """
    behind = [Address(one) for one in await chain.read("parts")]
    if len(behind) != len(PARTS) - 1:
        raise MarketForged(
            f"the contract at {chain.market} has {len(behind)} parts behind it, not {len(PARTS) - 1}"
        )
    addresses = (*reversed(behind), chain.market)
    places = [
        Place(chain_id=chain.chain_id, address=address, behind=addresses[index - 1] if index else None)
        for index, address in enumerate(addresses)
    ]
    for endpoint, codes in await _ask(chain, [("eth_getCode", (one, "latest")) for one in addresses]):
        for part, place, code in zip(PARTS, places, codes, strict=True):
            try:
                _check_code(part, chain.parameters, place, bytes_from(code, "a contract's code"))
            except MarketForged as error:
                raise MarketForged(f"{error}{endpoint}") from None
    found = Origin(
        parts=addresses,
        codes=tuple(
            runtime_code(part, chain.parameters, place) for part, place in zip(PARTS, places, strict=True)
        ),
    )
    for factory in FACTORIES:
        if addresses_by_create2(chain.parameters, factory) == addresses:
            return replace(found, factory=factory)
    return await _find_transaction(chain, found, first_block)


async def _ask(chain: Chain, questions: Sequence[Question]) -> list[tuple[str, list[Any]]]:
    """The answers of each endpoint that gives some, and how it is named where there are several."""
    answered, silent = await _ask_or_say_why(chain, questions)
    if not answered:
        raise silent[0]
    return answered


async def _ask_or_say_why(
    chain: Chain, questions: Sequence[Question]
) -> tuple[list[tuple[str, list[Any]]], list[ChainError]]:
    """The same, and why the others give none."""
    rpc = chain.rpc
    if rpc.is_alone:
        try:
            return [("", await rpc.batch(questions))], []
        except RpcError as error:
            return [], [error]
    answered: list[tuple[str, list[Any]]] = []
    silent: list[ChainError] = []
    for connection, said in await rpc.ask_everybody(questions):
        if isinstance(said, ChainError):
            # A refusal does not tell by itself whose it is.
            is_named = connection.name in str(said)
            silent.append(said if is_named else ChainUnavailable(connection.url, str(said)))
        else:
            answered.append((f", by the endpoint {connection.name}", said))
    return answered, silent


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


async def _find_transaction(chain: Chain, origin: Origin, first_block: int) -> Origin:
    if not first_block:
        raise OriginUnknown(
            f"nothing shows how the market at {chain.market} came to be: its address does not, and the block "
            "that it was deployed in is not given"
        )
    code = creation_code(PARTS[-1], chain.parameters, origin.parts[-2])
    found: list[bytes] = []
    shown, silent = await _ask_or_say_why(chain, [(BLOCK_METHOD, (hex(first_block), True))])
    lacking = [str(error) for error in silent]
    for endpoint, (block,) in shown:
        try:
            transaction = _transaction_in(block, first_block, code, chain.market)
        except AnswerUnreadable:
            # It does not have the block, or gives something else: it says nothing.
            lacking.append(f"it is not shown{endpoint}")
            continue
        if transaction is None:
            raise OriginUnknown(
                f"block {first_block} has no transaction by which our code was deployed at "
                f"{chain.market}{endpoint}"
            )
        found.append(transaction)
    if not found:
        raise OriginUnknown(
            f"no endpoint shows block {first_block}, in which the market at {chain.market} should have been "
            "deployed"
        )
    if len(found) == 1 and not chain.rpc.is_alone:
        raise OriginUnknown(
            f"the address of the market at {chain.market} does not show how it was made, and of "
            f"{len(chain.rpc.connections)} endpoints only one has block {first_block}, in which it should "
            f"have been deployed, and two have to show it ({'; '.join(lacking)}): try again if that may "
            "pass, leave out those that do not have it, or add others"
        )
    return replace(origin, transaction=found[0], block=first_block, witnesses=len(found))


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
