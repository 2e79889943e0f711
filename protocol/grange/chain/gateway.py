"""The one gateway to the contract: typed reads of the market, its token and the chain.

Decides what is asked and how answers become values; checks once, on connecting, that the endpoint serves the
right chain and that a market lives at the address. Keeps only what can never change: chain id, parameters,
the token's domain separator. Everything else is asked each time. Leaves sending to `sender.py`, following
events to `follower.py`, HTTP and its failures to `rpc.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from grange.chain.answers import (
    MAX_COUNT,
    block_hash_from,
    bytes_from,
    count,
    fields_from,
    list_from,
    quantity,
)
from grange.chain.chain_check import ChainCheck
from grange.chain.codec import Abi, market_abi, token_abi
from grange.chain.connection import Timeouts
from grange.chain.endpoint_notes import EndpointNotes
from grange.chain.errors import (
    AnswerTooLong,
    AnswerUnreadable,
    ChainTimeout,
    RpcError,
)
from grange.chain.events import Event, EventFilter
from grange.chain.gathering import Question
from grange.chain.market_pins import MarketPins
from grange.chain.permit import PERMIT_LIFE_SECONDS, PermitBasis, unsigned_permit
from grange.chain.refusals import is_by_contract, translate_revert
from grange.chain.rpc import Rpc
from grange.chain.token_facts import WORD_BYTES, TokenFacts, read_token_facts
from grange.chain.topics import event_topics
from grange.chain.views import (
    Book,
    Delegation,
    Eviction,
    Farmer,
    Head,
    Loss,
    Mandate,
    Order,
    Withdrawal,
)
from grange.chain.wallet import Wallet
from grange.messages import NEW_FARMER, Domain, sign_operator_consent
from grange.seeds import is_long, seed_block
from grange.tasks import together
from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.types import (
    Address,
    Epoch,
    FarmerId,
    Offer,
    OperatorConsent,
    OrderId,
    Parameters,
    Permit,
    address_from,
)

MAX_FARMERS_PER_CALL = 100
CONSENT_BLOCKS = 300
"""How long an operator's consent may be used: an hour on a chain with blocks of 12 s."""
SURELY_SHORT_PERCENT = 90
"""Of what an endpoint gives at once: so few blocks back when we last looked are not more than that now,
unless that was hours ago; then the endpoint may refuse, and is asked piece by piece."""

PENDING: Final = "pending"
"""The block that will hold what is sent now, as far as the endpoint can say."""
_TRUE = "0x" + (1).to_bytes(32).hex()

BlockTag = int | str
_Answered = TypeVar("_Answered")


class Chain:
    """A market on a chain. Open it with `Chain.connect`; all methods raise the errors of `chain.errors`.

    Reads are made at the latest block unless said otherwise. A read that the contract itself refuses raises
    TransactionReverted with the contract's error.
    """

    def __init__(
        self,
        rpc: Rpc,
        *,
        market: Address,
        chain_id: int,
        parameters: Parameters,
        unit: TokenUnit = PLAIN_UNIT,
    ) -> None:
        self.rpc = rpc
        self.unit = unit
        """How the market's token counts, and what it is called."""
        self.market = market
        self.chain_id = chain_id
        self.parameters = parameters
        self.token = parameters.token
        self.domain = Domain(chain_id=chain_id, market=market)
        self._token_separator: bytes | None = None
        self._seen_block: int | None = None
        """The newest block when it was last asked for."""
        self.dated_block: tuple[int, int] | None = None
        """A block long past and its time, by which the pace is measured."""
        self.pins: MarketPins | None = None
        """What the market's code is, if it was looked at: see `market_check`."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        rpc_urls: str | Sequence[str],
        market: Address,
        *,
        timeouts: Timeouts | None = None,
        expected_chain_id: int | None = None,
        expected_genesis: bytes | None = None,
        pins: MarketPins | None = None,
        notes: EndpointNotes | None = None,
        unit: TokenUnit | None = None,
    ) -> AsyncIterator["Chain"]:
        """Connect and check; raises ChainUnavailable, ChainTimeout, WrongChain, ChainReplaced,
        MarketNotFound, NotToken, DecimalsDisputed or, where the market's code is not what `pins` say,
        MarketForged. The token is asked how it counts unless `unit` says so.

        Of several endpoints those are asked that serve the chain that is expected, else that of the first
        which answers. See `ChainCheck`.
        """
        market = address_from(market)
        expected = ChainCheck(chain_id=expected_chain_id, genesis=expected_genesis, market=market, pins=pins)
        async with Rpc(rpc_urls, timeouts or Timeouts(), expected, notes=notes) as rpc:
            chain_id, parameters = await rpc.introduced()
            if unit is None:
                unit = (await read_token_facts(rpc, parameters.token)).unit
            chain = cls(rpc, market=market, chain_id=chain_id, parameters=parameters, unit=unit)
            chain.pins = pins
            yield chain

    async def call_at(self, method: str, subject: Any, tag: str) -> Any:
        """The endpoint's answer as of a block. Some know nothing of a pending one: then it is that of the
        newest. Raises ChainError."""
        try:
            return await self.rpc.call(method, subject, tag)
        except RpcError as error:
            if tag != PENDING or error.reverted or PENDING not in error.message.lower():
                raise
            return await self.rpc.call(method, subject, "latest")

    async def head(self) -> Head:
        """The newest block."""
        head = self._head(await self.rpc.call("eth_getBlockByNumber", "latest", False))
        self._seen_block = head.number
        return head

    async def block_hash(self, number: int) -> bytes | None:
        """The hash of a block of the canonical chain; None if there is no such block."""
        block = await self.rpc.call("eth_getBlockByNumber", hex(number), False)
        return None if block is None else block_hash_from(block)

    async def block_hashes(self, numbers: Sequence[int]) -> list[bytes | None]:
        """The same for several blocks in one request."""
        blocks = await self.rpc.batch([("eth_getBlockByNumber", (hex(n), False)) for n in numbers])
        return [None if block is None else block_hash_from(block) for block in blocks]

    async def genesis_hash(self) -> bytes | None:
        """The hash of block 0, which tells this chain from any other with its id; None if the endpoint does
        not show it."""
        return await _read_genesis_hash(self.rpc)

    async def block_timestamp(self, number: int) -> int:
        """When a block of the canonical chain was made, in Unix seconds. Raises AnswerUnreadable when there
        is no such block."""
        block = fields_from(await self.rpc.call("eth_getBlockByNumber", hex(number), False), "a block")
        return count(block["timestamp"], f"the time of block {number}")

    async def current_epoch(self) -> Epoch:
        """The epoch of the newest block."""
        return (await self.head()).epoch

    async def native_balance(self, address: Address) -> int:
        """What the account has for gas, in wei."""
        return quantity(await self.rpc.call("eth_getBalance", address, "latest"), "a balance")

    async def token_balance(self, address: Address) -> int:
        """Tokens the account holds outside the market, in base units."""
        return int(await self.read_token("balanceOf", address))

    async def token_facts(self) -> TokenFacts:
        """What the token says of itself now. Raises NotToken, DecimalsDisputed."""
        return await read_token_facts(self.rpc, self.token)

    async def token_allowance(self, owner: Address, spender: Address | None = None) -> int:
        """What `spender` (the market if None) may pull from the owner, in base units."""
        return int(await self.read_token("allowance", owner, spender or self.market))

    async def vault(self, address: Address) -> int:
        """What the account deposited or got back inside the market, and can spend, in base units."""
        return int(await self.read("vault", address))

    async def earnings(self, address: Address) -> int:
        """What the account earned inside the market and has not claimed, in base units."""
        return int(await self.read("earnings", address))

    async def withdrawal(self, address: Address) -> Withdrawal | None:
        """What the account announced to withdraw; None if nothing."""
        fields = await self.read("withdrawal", address)
        return Withdrawal(**fields) if fields["amount"] else None

    async def redeemed(self, farmer: FarmerId, renter: Address, signer: Address | None = None) -> int:
        """What the farmer has redeemed in all of the vouchers that the renter signed, or that `signer` did
        for it, in base units."""
        return int(await self.read("redeemed", farmer, renter, signer or renter))

    async def delegation(self, account: Address, delegate: Address) -> Delegation:
        """What a key may spend from an account's vault, and has spent; all zero for a stranger."""
        return Delegation(**await self.read("delegation", account, delegate))

    def delegation_question(self, account: Address, delegate: Address) -> Question:
        """What asks an endpoint that."""
        return self._question("delegation", account, delegate)

    def decode_delegation(self, answer: object) -> Delegation:
        """The same, out of what an endpoint answered to the question. Raises AnswerUnreadable."""
        return Delegation(**_decode(market_abi(), "delegation", answer))

    async def bound(self, farmer: FarmerId, taker: FarmerId, epoch: Epoch) -> int:
        """What is bound by what a farmer handed over to another in an epoch, in base units."""
        return int(await self.read("bound", farmer, taker, epoch))

    async def farmer_count(self) -> int:
        """How many farmers are registered; their ids are 1 to this number."""
        return int(await self.read("farmerCount"))

    async def farmer(self, farmer: FarmerId) -> Farmer:
        """One farmer; refused with the contract's error if the id is unknown."""
        return _farmer(farmer, await self.read("farmer", farmer))

    async def farmers(self) -> list[Farmer]:
        """All farmers, by id."""
        return (await self.farmers_unless_more(MAX_COUNT))[0]

    async def farmers_unless_more(self, limit: int) -> tuple[list[Farmer], int]:
        """All farmers, by id, or none if they are more than a limit; and how many there are."""
        found, count = await together(self._farmers_from(1), self.farmer_count())
        if count > limit:
            return [], count
        firsts = range(len(found) + 1, count + 1, MAX_FARMERS_PER_CALL)
        if len(found) == MAX_FARMERS_PER_CALL:
            for part in await asyncio.gather(*map(self._farmers_from, firsts)):
                found += part
        return found, max(count, len(found))

    async def _farmers_from(self, first: int) -> list[Farmer]:
        """A page of them; shorter than others only at the end."""
        part = await self.read("farmers", first, MAX_FARMERS_PER_CALL)
        return [_farmer(FarmerId(first + i), fields) for i, fields in enumerate(part)]

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        """Some farmers, in the order asked for, in one request."""
        found = await self._read_many("farmer", [(farmer,) for farmer in farmers])
        return [_farmer(farmer, fields) for farmer, fields in zip(farmers, found, strict=True)]

    async def order(self, order: OrderId) -> Order | None:
        """A placed order; None if there is none of this id."""
        return _order(await self.read("order", order))

    def order_question(self, order: OrderId) -> Question:
        """What asks an endpoint that."""
        return self._question("order", order)

    def decode_order(self, answer: object) -> Order | None:
        """The same, out of what an endpoint answered to the question. Raises AnswerUnreadable."""
        return _order(_decode(market_abi(), "order", answer))

    async def mandate(self, account: Address, number: int) -> Mandate | None:
        """A mandate of an account; None if it gave none of this number."""
        mandate = Mandate(**await self.read("mandate", account, number))
        return mandate if mandate.until else None

    async def book(self, farmer: FarmerId, end: Epoch, *, extension: bool = False) -> Book:
        """The farmer's book that ends with epoch `end`, or that of extensions; count 0 if it has none."""
        return Book(**await self.read("book", farmer, end, extension))

    async def loss(self, order: OrderId, slot: int, start: Epoch) -> Loss | None:
        """Whether a slot was declared lost by the farmer that had it from epoch `start`."""
        fields = await self.read("loss", order, slot, start)
        return Loss(**fields) if fields["lost_block"] else None

    async def losses(self, order: OrderId, starts: Sequence[Epoch]) -> list[Loss | None]:
        """The same for all slots of an order, whose present farmers have them from these epochs, in one
        request."""
        found = await self._read_many("loss", [(order, slot, start) for slot, start in enumerate(starts)])
        return [Loss(**fields) if fields["lost_block"] else None for fields in found]

    async def eviction(self, farmer: FarmerId) -> Eviction | None:
        """Since when an evicted farmer's slots are vacant, and what they have to offer; None if it is not
        evicted."""
        fields = await self.read("eviction", farmer)
        return Eviction(**fields) if fields["vacant_block"] else None

    async def rate_at(self, farmer: FarmerId, epoch: Epoch) -> int:
        """What an audit of the epoch draws from and pays: what was placed before it began.

        Of the current epoch, or of a later one as far as orders are placed now.
        """
        return int(await self.read("rateAt", farmer, epoch))

    async def missed(self, farmer: FarmerId, epoch: Epoch) -> bool:
        """Whether the farmer did not prove that epoch though it had something to prove; recorded or not."""
        return bool(await self.read("missed", farmer, epoch))

    async def seed(self, epoch: Epoch) -> bytes | None:
        """The recorded audit seed; None if nobody has recorded it: see `audit_seed`."""
        seed = bytes(await self.read("seed", epoch))
        return None if seed == bytes(32) else seed

    async def audit_seed(self, epoch: Epoch) -> bytes | None:
        """What the leaves of the epoch are drawn with: the seed that is recorded, or would be in the next
        block; None before the epoch's first block is mined.

        Of a long epoch that nobody has recorded, that changes with time (`grange.seeds`).
        """
        epoch_blocks = self.parameters.epoch_blocks
        first = epoch * epoch_blocks
        if not is_long(epoch_blocks):
            return await self.block_hash(first)
        recorded, head = await together(self.seed(epoch), self.head())
        if recorded is not None:
            return recorded
        number = seed_block(first, min(head.number + 1, first + epoch_blocks - 1))
        return None if number is None else await self.block_hash(number)

    async def logs(
        self,
        from_block: int,
        to_block: int | None,
        events: Sequence[str] = (),
        args: Mapping[str, Any] | None = None,
    ) -> list[Event]:
        """Events of the market in a closed range of blocks, or up to the newest, in order; see EventFilter
        for the choice.

        A long range takes several requests, of as few blocks as the endpoint demands.
        """
        chosen = [EventFilter(events=tuple(events), args=args or {})]
        if to_block is None:
            short = self.log_blocks() * SURELY_SHORT_PERCENT // 100
            if self._seen_block is not None and self._seen_block - from_block < short:
                with suppress(AnswerTooLong, ChainTimeout, RpcError):
                    return await self.logs_matching(from_block, None, chosen)
            to_block = (await self.head()).number
        found: list[Event] = []
        first, span = from_block, self.log_blocks()
        while first <= to_block:
            last = min(to_block, first + min(span, self.log_blocks()) - 1)
            try:
                found += await self.logs_matching(first, last, chosen)
                first = last + 1
            except (AnswerTooLong, ChainTimeout, RpcError):
                if last == first:
                    raise
                span = (last - first + 1) // 2
        return found

    def log_blocks(self) -> int:
        """How many blocks' logs to ask for at once: as many as the endpoint was found to give."""
        return self.rpc.log_blocks

    async def logs_matching(
        self, from_block: int, to_block: int | None, filters: Sequence[EventFilter]
    ) -> list[Event]:
        """Events that match any of the filters, each once, in order, fetched in one request; up to the newest
        block if `to_block` is None."""
        questions = [self._logs_question(from_block, to_block, chosen) for chosen in filters]
        return self._merged(await self.rpc.batch(questions), from_block, to_block)

    async def logs_and_hashes(
        self, from_block: int, to_block: int, filters: Sequence[EventFilter], numbers: Sequence[int]
    ) -> tuple[list[Event], list[bytes | None]]:
        """Events in a closed range of blocks that match any of the filters, each once, in order, and then the
        hashes of some blocks, asked for in one request."""
        questions = [self._logs_question(from_block, to_block, chosen) for chosen in filters]
        hashes = [("eth_getBlockByNumber", (hex(number), False)) for number in numbers]
        answers = await self.rpc.batch([*questions, *hashes])
        events = self._merged(answers[: len(questions)], from_block, to_block)
        return events, [None if one is None else block_hash_from(one) for one in answers[len(questions) :]]

    async def logs_of_ranges(
        self, ranges: Sequence[tuple[int, int]], chosen: EventFilter
    ) -> list[list[Event]]:
        """Events that match a filter in several closed ranges of blocks, fetched in one request."""
        answers = await self.rpc.batch([self._logs_question(*blocks, chosen) for blocks in ranges])
        return [self._events(logs, *blocks) for logs, blocks in zip(answers, ranges, strict=True)]

    def _logs_question(
        self, from_block: int, to_block: int | None, chosen: EventFilter
    ) -> tuple[str, tuple[dict[str, Any]]]:
        where = {
            "address": self.market,
            "fromBlock": hex(from_block),
            "toBlock": "latest" if to_block is None else hex(to_block),
            "topics": event_topics(market_abi(), chosen),
        }
        return "eth_getLogs", (where,)

    def _merged(self, answers: Sequence[object], from_block: int, to_block: int | None) -> list[Event]:
        events: dict[tuple[int, int], Event] = {}
        for logs in answers:
            events |= {event.position: event for event in self._events(logs, from_block, to_block)}
        return [events[position] for position in sorted(events)]

    @staticmethod
    def _events(logs: object, from_block: int, to_block: int | None) -> list[Event]:
        last = MAX_COUNT if to_block is None else to_block
        found = []
        for log in list_from(logs, "a list of logs"):
            event = market_abi().decode_log(log)
            if event is None:
                continue
            if not from_block <= event.block <= last:
                raise AnswerUnreadable(
                    f"the logs of blocks {from_block} to {last}", f"one is of block {event.block}"
                )
            found.append(event)
        return found

    async def operator_consent(
        self, operator: Wallet, *, owner: Address, farmer: FarmerId = NEW_FARMER
    ) -> OperatorConsent:
        """A key's consent to be the operator of an owner's farmer, or of a new one, for CONSENT_BLOCKS."""
        nonce, head = await together(self.read("consentNonce", operator.address), self.head())
        return sign_operator_consent(
            self.domain,
            operator.private_key,
            owner=owner,
            farmer=farmer,
            nonce=nonce,
            deadline_block=head.number + CONSENT_BLOCKS,
        )

    async def permit(self, wallet: Wallet, value: int, *, life_seconds: int = PERMIT_LIFE_SECONDS) -> Permit:
        """A permit by which the market may pull `value` base units from the wallet.

        Its deadline is counted on the chain's clock, which on a devnet can be far from ours. Where the token
        knows no permits it is one without a signature: then what the wallet approved counts.
        """
        basis = await self.permit_basis(wallet.address)
        if basis is None:
            return unsigned_permit(value)
        return basis.sign(wallet, spender=self.market, value=value, life_seconds=life_seconds)

    async def permit_basis(self, owner: Address) -> PermitBasis | None:
        """What a permit is signed over: for those who learn its value in the same moment. None where the
        token knows no permits."""
        separator, nonce, head = await together(
            self._read_token_separator(), self._read_token_word("nonces", owner), self.head()
        )
        if separator is None or nonce is None:
            return None
        return PermitBasis(domain_separator=separator, nonce=int.from_bytes(nonce), timestamp=head.timestamp)

    async def _read_token_separator(self) -> bytes | None:
        if self._token_separator is None:
            self._token_separator = await self._read_token_word("DOMAIN_SEPARATOR")
        return self._token_separator

    async def _read_token_word(self, function: str, *args: Any) -> bytes | None:
        """What a view of the token returns if that is one word, else None: a token need not have the view,
        and no endpoint is to blame for that."""
        request = {"to": self.token, "data": "0x" + token_abi().encode_call(function, args).hex()}
        try:
            data = bytes_from(await self.rpc.call("eth_call", request, "latest"), f"what {function} returns")
        except RpcError as error:
            if is_by_contract(error):
                return None
            raise
        return data if len(data) == WORD_BYTES else None

    async def read(self, function: str, *args: Any, block: BlockTag = "latest") -> Any:
        """Any view of the market; structs come back as dicts with snake_case keys."""
        return await self._read(market_abi(), self.market, function, args, block)

    async def read_token(self, function: str, *args: Any, block: BlockTag = "latest") -> Any:
        """Any view of the token."""
        return await self._read(token_abi(), self.token, function, args, block)

    def _question(self, function: str, *args: Any) -> Question:
        data = "0x" + market_abi().encode_call(function, args).hex()
        return "eth_call", ({"to": self.market, "data": data}, "latest")

    async def _read_many(self, function: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """A view of the market for several arguments, in one request; the first refusal is raised."""
        abi = market_abi()
        requests = [self._question(function, *args) for args in calls]

        async def ask() -> list[Any]:
            try:
                results = await self.rpc.batch(requests)
            except RpcError as error:
                raise translate_revert(error, function) from error
            return [_decode(abi, function, result) for result in results]

        return await self._readable(ask)

    async def _read(
        self, abi: Abi, address: Address, function: str, args: Sequence[Any], block: BlockTag
    ) -> Any:
        request = {"to": address, "data": "0x" + abi.encode_call(function, args).hex()}
        tag = hex(block) if isinstance(block, int) else block

        async def ask() -> Any:
            try:
                result = await self.rpc.call("eth_call", request, tag)
            except RpcError as error:
                raise translate_revert(error, function) from error
            return _decode(abi, function, result)

        return await self._readable(ask)

    async def _readable(self, ask: Callable[[], Awaitable[_Answered]]) -> _Answered:
        """What an endpoint gives that can be read: one that gives something else is asked last from then
        on."""
        for _ in self.rpc.connections[1:]:
            try:
                return await ask()
            except AnswerUnreadable as error:
                self.rpc.distrust(f"gives what can't be read: {error}")
        return await ask()

    def _head(self, answer: object) -> Head:
        block = fields_from(answer, "the newest block")
        number = count(block["number"], "the newest block's number")
        return Head(
            number=number,
            hash=block_hash_from(block),
            timestamp=count(block["timestamp"], "the newest block's time"),
            epoch=Epoch(number // self.parameters.epoch_blocks),
            base_fee_wei=quantity(block["baseFeePerGas"] or "0x0", "the base fee"),
        )


def _order(fields: dict[str, Any]) -> Order | None:
    if fields["slots_hash"] == bytes(32):
        return None
    return Order(start=fields.pop("from"), **fields)


def _farmer(farmer: FarmerId, fields: dict[str, Any]) -> Farmer:
    return Farmer(id=farmer, offer=Offer(**fields.pop("offer")), **fields)


def _decode(abi: Abi, function: str, result: object) -> Any:
    data = bytes_from(result, f"what {function} returns")
    if not data and abi.function(function).outputs.names:
        raise AnswerUnreadable(f"what {function} returns", "there is no contract at the address")
    return abi.decode_result(function, data)


async def _read_genesis_hash(rpc: Rpc) -> bytes | None:
    block = await rpc.call("eth_getBlockByNumber", "0x0", False)
    return None if block is None else block_hash_from(block)
