"""A market and farmers in memory, behind the interfaces that the renter uses on real ones.

`FakeMarket` is the renter's market over events in memory; `FakeFarmer` speaks the farmer's HTTP interface
on a real socket and checks every signature. Each farmer has knobs that make it slow, broken or dishonest.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import market_rules
import pytest
from aiohttp import web
from fake_chain import matches, unconnected
from pydantic import BaseModel

from grange.chain import (
    Event,
    EventFilter,
    Farmer,
    Head,
    Loss,
    Order,
    Receipt,
    RpcError,
    TransactionReverted,
    Wallet,
    Withdrawal,
)
from grange.chain.gas_cost import GasPrices
from grange.chain.market import Missing
from grange.chain.orders import OrderUnreadable, fold
from grange.chain.outbox import OnMined, ignore
from grange.chain.registry import Registered
from grange.merkle import merkle_root, path, root_of_hashes
from grange.messages import (
    NO_CONTENT,
    NO_ORDER,
    AcceptanceMessage,
    Domain,
    acceptance_signer,
    order_id,
    recover,
    request_digest,
    sign_acceptance,
    voucher_signer,
)
from grange.peer import Peer
from grange.storage.optional_database import BUSY_SECONDS
from grange.times import BlockClock
from grange.transfer.aging import Freshness
from grange.transfer.retry import RetryPolicy, SlowRule
from grange.types import (
    NO_LIMIT,
    Acceptance,
    Address,
    Epoch,
    FarmerId,
    Held,
    Offer,
    OrderId,
    Terms,
    Voucher,
    address_from,
)
from grange.units import GWEI, LEAF_BYTES, TOKEN, egress_rounded_up
from grange.wire import paths
from grange.wire.bodies import (
    Account,
    ErrorAnswer,
    ExtendRequest,
    Info,
    Listing,
    PiecePath,
    ShownOrder,
    StoredPiece,
    TakeOverRequest,
    format_body,
    parse_acceptance_request,
)
from grange.wire.codes import ErrorCode
from grange.wire.headers import (
    VOUCHER,
    Authorization,
    content_hash,
    format_content_range,
    parse_range,
    parse_voucher,
)
from grange.wire.limits import MAX_REQUEST_LIFE_SECONDS, STEP_BYTES
from grange_client.keys.recovery_phrase import Identity, identity
from grange_client.orders.market import RenterMarket
from grange_client.renter import Renter

WORDS = "test test test test test test test test test test test junk"
PARAMETERS = replace(market_rules.PARAMETERS, token=address_from(bytes(19) + b"\x02"))
MARKET = address_from(bytes(19) + b"\x01")
NOW = 1_800_000_000
CALM = RetryPolicy(
    pause_seconds=0.001,
    longest_pause_seconds=0.001,
    last_resort_seconds=0.05,
    slow_to_store=SlowRule(floor_seconds=60, factor=8),
    slow_to_give=SlowRule(floor_seconds=60, factor=4),
)
"""Never takes a busy machine for a slow farmer."""
HURRIED = replace(
    CALM,
    slow_to_store=SlowRule(floor_seconds=0.5, factor=1),
    slow_to_give=SlowRule(floor_seconds=0.3, factor=1),
)
"""For tests about slow farmers."""


@dataclass(slots=True, kw_only=True)
class Behaviour:
    """How a farmer departs from what it should do; the defaults are an honest farmer."""

    info: dict[str, Any] = field(default_factory=dict)
    put_seconds: float = 0.0
    put_failures: deque[int] = field(default_factory=deque)
    put_root: bytes | None = None
    fails_from_piece: int | None = None
    get_seconds: float = 0.0
    get_status: int = 0
    get_failures: deque[int] = field(default_factory=deque)
    spoil: Callable[[bytes], bytes] = bytes
    cut_off: bool = False
    shown_path: Callable[[dict[str, Any]], dict[str, Any]] = dict
    accept_status: int = 0
    accept_code: str = "terms_refused"
    acceptance: Callable[["FakeFarmer", dict[str, Any]], dict[str, Any]] = lambda _, fields: fields
    life_blocks: int = 300
    egress_price_per_gib: int = 0
    claims_missing: int = 0
    clock_ahead_seconds: int = 0


class FakeFarmer:
    """One farmer: a key, a socket, slots in memory, and counts of what was asked of it."""

    def __init__(self, number: int, market: "FakeMarket") -> None:
        self.id = FarmerId(number)
        self.market = market
        self.wallet = Wallet(sha256(b"operator %d" % number).digest())
        self.behaviour = Behaviour()
        self.pieces: dict[tuple[str, str, int], dict[int, bytes]] = {}
        self.accepted: dict[tuple[str, str, int], int] = {}
        self.shown: dict[str, ShownOrder] = {}
        """What it says of orders, by id."""
        self.calls: list[str] = []
        self.signed = 0
        self.voucher: Voucher | None = None
        self.earned = 0
        self._nonces: set[bytes] = set()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        """Serve, on a free port if it does not matter; the endpoint."""
        app = web.Application(client_max_size=1 << 24)
        app.add_routes(
            [
                web.get(paths.INFO, self._info),
                web.get(paths.ACCOUNT, self._account),
                web.put(paths.PIECE, self._put),
                web.post(paths.ACCEPT, self._accept),
                web.get(paths.ORDER, self._order),
                web.get(paths.SLOT, self._get),
                web.get(paths.PIECES, self._list),
                web.get(paths.PIECE_PATH, self._path),
                web.delete(paths.SLOT, self._delete),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True).start()
        port = self._runner.addresses[0][1]
        return f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Be gone."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _signed(self, request: web.Request, content: bytes) -> str:
        try:
            asked = Authorization.parse(request.headers.get("Authorization", ""))
        except ValueError:
            raise _refused(ErrorCode.UNAUTHORISED) from None
        digest = request_digest(
            self.market.domain,
            method=request.method,
            path=request.raw_path,
            farmer=self.id,
            expires=asked.expires,
            nonce=asked.nonce,
            content=asked.content,
        )
        now = NOW + self.behaviour.clock_ahead_seconds
        if not now < asked.expires <= now + MAX_REQUEST_LIFE_SECONDS:
            raise _refused(ErrorCode.UNAUTHORISED, now=now)
        fresh = asked.nonce not in self._nonces
        signer = recover(digest, asked.signature).lower()
        if not fresh or signer != asked.renter or asked.content != content:
            raise _refused(ErrorCode.UNAUTHORISED)
        self._nonces.add(asked.nonce)
        return signer

    def _key(self, request: web.Request, renter: str) -> tuple[str, str, int]:
        return renter, request.match_info["order"], int(request.match_info["slot"])

    async def _info(self, request: web.Request) -> web.Response:
        domain = self.market.domain
        info = Info(farmer=self.id, chain_id=domain.chain_id, market=domain.market, free_bytes=1 << 40)
        honest = info.model_dump(mode="json")
        return web.json_response(honest | self.behaviour.info)

    async def _put(self, request: web.Request) -> web.Response:
        self.calls.append("put")
        piece = int(request.match_info["piece"])
        if self.behaviour.put_failures:
            raise _error(self.behaviour.put_failures.popleft(), "busy")
        if self.behaviour.fails_from_piece is not None and piece >= self.behaviour.fails_from_piece:
            raise _refused(ErrorCode.NO_ROOM)
        body = await request.read()
        assert request.content_length == len(body)
        assert len(body) % LEAF_BYTES == 0
        root = merkle_root(body)
        renter = self._signed(request, root)
        await asyncio.sleep(self.behaviour.put_seconds)
        self.pieces.setdefault(self._key(request, renter), {})[piece] = body
        return _answered(StoredPiece(root=self.behaviour.put_root or root), status=201)

    async def _order(self, request: web.Request) -> web.Response:
        self.calls.append("order")
        self._signed(request, NO_CONTENT)
        shown = self.shown.get(request.match_info["order"])
        if shown is None:
            raise _refused(ErrorCode.NOT_FOUND)
        return _answered(shown)

    async def _list(self, request: web.Request) -> web.Response:
        self.calls.append("list")
        held = self.pieces.get(self._key(request, self._signed(request, NO_CONTENT)), {})
        if not held:
            raise _refused(ErrorCode.NOT_FOUND)
        roots = {piece: merkle_root(body) for piece, body in held.items()}
        return _answered(Listing(roots=roots, count=len(roots)))

    async def _accept(self, request: web.Request) -> web.Response:
        self.calls.append("accept")
        body = await request.read()
        renter = self._signed(request, content_hash(body))
        key = self._key(request, renter)
        if self.behaviour.accept_status:
            raise _error(self.behaviour.accept_status, self.behaviour.accept_code)
        asked = parse_acceptance_request(body)
        assert not isinstance(asked, TakeOverRequest)
        assert order_id(address_from(renter), asked.salt).hex() == key[1]
        previous = asked.previous if isinstance(asked, ExtendRequest) else NO_ORDER
        held = self.pieces.get(key, {}) or self.pieces.get((key[0], previous.hex(), key[2]), {})
        if sorted(held) != list(range(asked.pieces)):
            raise _refused(ErrorCode.NOT_FOUND)
        computed = root_of_hashes(b"".join(merkle_root(held[piece]) for piece in sorted(held)))
        if computed != asked.root:
            raise _refused(ErrorCode.ROOT_MISMATCH)
        deadline = self.accepted.get(key, 0)
        if deadline <= self.market.block:
            deadline = self.market.block + self.behaviour.life_blocks
        self.accepted[key] = deadline
        self.pieces[key] = held
        fields = {
            "order": bytes.fromhex(key[1]),
            "farmer": self.id,
            "slot": key[2],
            "root": computed,
            "rate": asked.rate,
            "max_egress_price_per_gib": self.behaviour.egress_price_per_gib,
            "leaf_count": asked.pieces * asked.piece_leaves,
            "end": asked.end,
            "deadline_block": deadline,
        } | ({"previous": previous} if previous != NO_ORDER else {})
        return web.json_response(self.behaviour.acceptance(self, fields) if fields else {}, dumps=_hex_json)

    def sign(self, fields: dict[str, Any], *, domain: Domain | None = None, **changed: Any) -> dict[str, Any]:
        """An answer to accept, signed over `fields` with some of them changed."""
        signed = fields | changed
        acceptance = sign_acceptance(
            domain or self.market.domain, self.wallet.private_key, AcceptanceMessage(**signed)
        )
        return {**fields, "r": acceptance.r, "vs": acceptance.vs}

    async def _get(self, request: web.Request) -> web.StreamResponse:
        self.calls.append("get")
        wanted = request.headers["Range"]
        renter = self._signed(request, content_hash(wanted.encode()))
        await asyncio.sleep(self.behaviour.get_seconds)
        if self.behaviour.get_failures:
            raise _error(self.behaviour.get_failures.popleft(), "world_failed")
        if self.behaviour.get_status:
            raise _error(self.behaviour.get_status, "not_found")
        data = self.slot_bytes(self._key(request, renter))
        first, end = parse_range(wanted, len(data))
        self._take(request, address_from(renter), end - first)
        part = self.behaviour.spoil(data[first:end])
        headers = {"Content-Range": format_content_range(first, end, len(data))}
        if self.behaviour.cut_off:
            response = web.StreamResponse(status=206, headers=headers | {"Content-Length": str(len(part))})
            await response.prepare(request)
            await response.write(part[: len(part) // 2])
            assert request.transport is not None
            request.transport.abort()
            return response
        return web.Response(body=part, status=206, headers=headers)

    def _take(self, request: web.Request, renter: Address, size_bytes: int) -> None:
        """Be paid for a read, like a node: out of the highest voucher, as far as the vault goes."""
        price = egress_rounded_up(self.behaviour.egress_price_per_gib, size_bytes)
        if not price:
            assert VOUCHER not in request.headers
            return
        assert size_bytes <= STEP_BYTES
        if VOUCHER not in request.headers:
            detail = {"spent": self.earned, "cumulative": self.signed, "needed": price}
            raise _refused(ErrorCode.PAYMENT_NEEDED, **detail)
        voucher = parse_voucher(request.headers[VOUCHER], renter)
        total = voucher.cumulative
        assert voucher_signer(self.market.domain, voucher, farmer=self.id) == renter
        missing = total - self.market.redemptions.get(self.id, 0) - self.market.vaults.get(renter, 0)
        if missing > 0:
            raise _refused(ErrorCode.VAULT_TOO_SMALL, missing=self.behaviour.claims_missing or missing)
        if total > self.signed:
            self.signed, self.voucher = total, voucher
        if self.signed - self.earned < price:
            detail = {"spent": self.earned, "cumulative": self.signed, "needed": price}
            raise _refused(ErrorCode.PAYMENT_NEEDED, **detail)
        self.earned += price

    async def _account(self, request: web.Request) -> web.Response:
        self._signed(request, NO_CONTENT)
        if self.voucher is None:
            raise _refused(ErrorCode.NOT_FOUND)
        return _answered(Account(cumulative=self.signed, spent=self.earned, signature=self.voucher.signature))

    def slot_bytes(self, key: tuple[str, str, int]) -> bytes:
        """A slot as it is kept."""
        if key not in self.pieces:
            raise _refused(ErrorCode.NOT_FOUND)
        return b"".join(data for _, data in sorted(self.pieces[key].items()))

    async def _path(self, request: web.Request) -> web.Response:
        self.calls.append("path")
        renter = self._signed(request, NO_CONTENT)
        held = self.pieces[self._key(request, renter)]
        roots = b"".join(merkle_root(held[piece]) for piece in sorted(held))
        piece = int(request.match_info["piece"])
        shown = PiecePath(root=roots[32 * piece : 32 * piece + 32], path=path(roots, piece), pieces=len(held))
        honest = shown.model_dump(mode="json")
        return web.json_response(self.behaviour.shown_path(honest))

    async def _delete(self, request: web.Request) -> web.Response:
        self.calls.append("delete")
        key = self._key(request, self._signed(request, NO_CONTENT))
        if key in self.accepted:
            raise _refused(ErrorCode.CONFLICT)
        self.pieces.pop(key, None)
        return web.Response(status=204)


def honest(farmer: FakeFarmer, fields: dict[str, Any]) -> dict[str, Any]:
    """The acceptance of an honest farmer."""
    return farmer.sign(fields)


class FakeMarket(RenterMarket):
    """The market of one renter, with a clock of blocks that a test turns by hand."""

    def __init__(self, wallet: Wallet) -> None:
        super().__init__(unconnected(Domain(chain_id=1337, market=MARKET), wallet, PARAMETERS))
        self.renter = wallet.address
        self.block = 25
        self.vaults: dict[Address, int] = {}
        self.announced: dict[Address, Withdrawal] = {}
        self.redemptions: dict[FarmerId, int] = {}
        self.wallets: dict[Address, int] = {self.renter: 1000 * TOKEN}
        self.native = 10**18
        self.gas = GasPrices(gas_wei=GWEI)
        self.known: list[Farmer] = []
        self.events: list[Event] = []
        self.placed: list[tuple[Terms, tuple[Acceptance, ...], int]] = []
        self.closed: list[Held] = []
        self.extensions: dict[OrderId, OrderId] = {}
        self.lost: set[tuple[OrderId, int, int]] = set()
        self.proven: dict[FarmerId, int] = {}
        self.to_return = (0, 0)
        self.is_blocked = False
        """Whether its token moves nothing of the renter."""
        self.is_closing = False
        """Whether another's `close` is on its way."""
        self.failures: deque[Exception | Callable[[], None]] = deque()
        self.after_mined: deque[Callable[[], Awaitable[None]]] = deque()
        """What happens to a transaction while it waits for confirmations, one after the other."""
        self.upcoming: deque[Callable[[], None]] = deque()
        """What happens each time a block is waited for, one after the other."""
        self.fork = 0
        self.reorged_to: int | None = None

    def hash_of(self, number: int) -> bytes:
        return sha256(b"%d %d" % (number, self.fork if number > (self.reorged_to or 0) else 0)).digest()

    async def head(self) -> Head:
        return Head(
            number=self.block,
            hash=self.hash_of(self.block),
            timestamp=NOW,
            epoch=Epoch(self.block // PARAMETERS.epoch_blocks),
        )

    async def clock(self) -> BlockClock:
        return BlockClock(
            block=self.block, timestamp=NOW, block_seconds=2.0, epoch_blocks=PARAMETERS.epoch_blocks
        )

    async def registered(self, known: Collection[FarmerId] = ()) -> Registered:
        head = await self.head()
        return Registered(epoch=head.epoch, farmers={one.id: self.shown(one) for one in self.known})

    def shown(self, farmer: Farmer) -> Farmer:
        """With the epochs that the test says it has proven."""
        proven = self.proven.get(farmer.id, 0)
        committed = farmer.committed_rate or (TOKEN // 20 if proven else 0)
        return replace(farmer, epochs_proven=proven, committed_rate=committed)

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        known = {farmer.id: self.shown(farmer) for farmer in self.known}
        for farmer in farmers:
            if farmer not in known:
                raise TransactionReverted("farmer", "UnknownFarmer", {"farmer": farmer})
        return [known[farmer] for farmer in farmers]

    async def vault(self, account: Address) -> int:
        return self.vaults.get(account, 0)

    async def redeemed(self, farmer: FarmerId, account: Address, signer: Address | None = None) -> int:
        return self.redemptions.get(farmer, 0)

    async def needs_approval(self, amount: int) -> bool:
        return False

    async def transfer_refusal(self) -> TransactionReverted | None:
        if self.is_blocked:
            return TransactionReverted("transfer", "Error", {"message": "account is blocked"})
        if not self.wallets.get(self.renter):
            return TransactionReverted("transfer", "Error", {"message": "there is too little"})
        return None

    async def token_balance(self, account: Address) -> int:
        return self.wallets.get(account, 0)

    async def native_balance(self, account: Address) -> int:
        return self.native

    async def gas_prices(self) -> GasPrices:
        return self.gas

    async def place(
        self,
        terms: Terms,
        acceptances: Sequence[Acceptance],
        missing: Missing,
        *,
        confirmations: int = 0,
        on_mined: OnMined = ignore,
    ) -> Receipt:
        start = Epoch(self.block // PARAMETERS.epoch_blocks + 1)
        receipt = await self._placed(terms, acceptances, missing, start)
        return await self._buried(receipt, confirmations, on_mined)

    async def extend(
        self,
        previous: Held,
        terms: Terms,
        acceptances: Sequence[Acceptance],
        missing: Missing,
        *,
        confirmations: int = 0,
        on_mined: OnMined = ignore,
    ) -> Receipt:
        [old] = [e for e in self.events if e.name == "OrderPlaced" and e.args["order"] == previous.order]
        assert [one.root for one in acceptances] == [slot.root for slot in previous.slots]
        self.extensions[order_id(self.renter, terms.salt)] = previous.order
        receipt = await self._placed(terms, acceptances, missing, old.args["end"], previous.order)
        return await self._buried(receipt, confirmations, on_mined)

    async def _buried(self, receipt: Receipt, confirmations: int, on_mined: OnMined) -> Receipt:
        await on_mined(receipt)
        if self.after_mined:
            await self.after_mined.popleft()()
        self.block += confirmations
        return replace(receipt, depth=confirmations)

    async def _placed(
        self,
        terms: Terms,
        acceptances: Sequence[Acceptance],
        asked: Missing,
        start: Epoch,
        previous: OrderId = NO_ORDER,
    ) -> Receipt:
        if self.failures:
            failure = self.failures.popleft()
            if isinstance(failure, Exception):
                raise failure
            failure()
        missing = await asked()
        order = order_id(self.renter, terms.salt)
        if self._emitted("OrderPlaced", order):
            raise TransactionReverted("place", "OrderExists", {"order": order})
        operators = {farmer.id: farmer.operator for farmer in self.known}
        for slot, acceptance in enumerate(acceptances):
            if acceptance.deadline_block < self.block:
                raise TransactionReverted("place", "AcceptanceExpired", {"slot": slot})
            message = AcceptanceMessage(
                order=order,
                farmer=acceptance.farmer,
                slot=slot,
                root=acceptance.root,
                leaf_count=terms.leaf_count,
                rate=acceptance.rate,
                max_egress_price_per_gib=acceptance.max_egress_price_per_gib,
                end=terms.end,
                deadline_block=acceptance.deadline_block,
                previous=previous,
            )
            signer = acceptance_signer(self.domain, message, r=acceptance.r, vs=acceptance.vs)
            assert signer == operators[acceptance.farmer]
        assert len({acceptance.farmer for acceptance in acceptances}) == len(acceptances)
        await self.deposit(missing)
        cost = sum(acceptance.rate for acceptance in acceptances) * (terms.end - start)
        if self.vaults[self.renter] < cost:
            raise TransactionReverted("place", "VaultTooSmall", {"balance": 0, "needed": cost})
        self.vaults[self.renter] -= cost
        self.placed.append((terms, tuple(acceptances), missing))
        self.block += 1
        self._emit(
            "OrderPlaced",
            {
                "order": order,
                "renter": self.renter,
                "from": start,
                "end": terms.end,
                "leaf_count": terms.leaf_count,
                "piece_leaves": terms.piece_leaves,
                "k": terms.k,
                "n": len(acceptances),
            },
        )
        for slot, one in enumerate(acceptances):
            self._emit(
                "SlotFilled",
                {
                    "order": order,
                    "farmer": one.farmer,
                    "slot": slot,
                    "root": one.root,
                    "rate": one.rate,
                    "max_egress_price_per_gib": one.max_egress_price_per_gib,
                    "from": start,
                    "extension": previous != NO_ORDER,
                },
            )
        return self._receipt(self._emitted("OrderPlaced", order)[0])

    def _emitted(self, name: str, order: OrderId) -> list[Event]:
        return [event for event in self.events if event.name == name and event.args["order"] == order]

    def _receipt(self, event: Event) -> Receipt:
        """Of the transaction that emitted an event."""
        order = event.args["order"]
        return Receipt(
            tx_hash=sha256(order).digest(),
            block=event.block,
            block_hash=event.block_hash,
            gas_used=1_000_000,
            effective_gas_price=1,
            events=tuple(e for e in self.events if e.block == event.block and e.args["order"] == order),
            contract_address=None,
        )

    async def receipt_of(self, event: str, order: OrderId, since: int) -> Receipt | None:
        emitted = [one for one in self._emitted(event, order) if since <= one.block <= self.block]
        return self._receipt(emitted[-1]) if emitted else None

    async def block_after(self, block: int) -> Head:
        if self.upcoming:
            self.upcoming.popleft()()
        self.block = max(self.block, block) + 1
        return await self.head()

    def _emit(self, name: str, args: dict[str, Any]) -> None:
        self.events.append(
            Event(
                name=name,
                args=args,
                block=self.block,
                block_hash=self.hash_of(self.block),
                tx_hash=bytes(32),
                log_index=len(self.events),
            )
        )

    async def deposit(self, amount: int) -> Receipt:
        self.wallets[self.renter] -= amount
        assert self.wallets[self.renter] >= 0
        self.vaults[self.renter] = self.vaults.get(self.renter, 0) + amount
        return self._empty_receipt()

    async def withdrawal(self, account: Address) -> Withdrawal | None:
        return self.announced.get(account)

    async def request_withdrawal(self, amount: int) -> Receipt:
        ready = Epoch(self.block // PARAMETERS.epoch_blocks + PARAMETERS.withdraw_delay_epochs)
        self.announced[self.renter] = Withdrawal(amount=amount, ready_epoch=ready)
        self._emit("WithdrawalRequested", {"account": self.renter, "amount": amount, "ready_epoch": ready})
        return replace(self._empty_receipt(), events=(self.events.pop(),))

    async def withdraw(self, to: Address | None = None) -> Receipt:
        amount = self.announced.pop(self.renter).amount
        self.vaults[self.renter] -= amount
        account = to or self.renter
        self.wallets[account] = self.wallets.get(account, 0) + amount
        return self._empty_receipt()

    def _empty_receipt(self) -> Receipt:
        return Receipt(
            tx_hash=bytes(32),
            block=self.block,
            block_hash=bytes(32),
            gas_used=50_000,
            effective_gas_price=1,
            events=(),
            contract_address=None,
        )

    async def block_hash(self, number: int) -> bytes | None:
        return self.hash_of(number) if 0 <= number <= self.block else None

    async def block_hashes(self, numbers: Sequence[int]) -> list[bytes | None]:
        return [await self.block_hash(number) for number in numbers]

    async def logs(
        self,
        from_block: int,
        to_block: int | None,
        events: Sequence[str] = (),
        args: Mapping[str, Any] | None = None,
    ) -> list[Event]:
        last = self.block if to_block is None else to_block
        return await self.logs_matching(
            from_block, last, [EventFilter(events=tuple(events), args=args or {})]
        )

    async def logs_and_hashes(
        self, first: int, last: int, filters: Sequence[EventFilter], numbers: Sequence[int]
    ) -> tuple[list[Event], list[bytes | None]]:
        return await self.logs_matching(first, last, filters), await self.block_hashes(numbers)

    async def logs_matching(
        self, from_block: int, to_block: int | None, filters: Sequence[EventFilter]
    ) -> list[Event]:
        last = self.block if to_block is None else to_block
        return [
            event
            for event in self._shown()
            if from_block <= event.block <= last and any(matches(event, one) for one in filters)
        ]

    def _shown(self) -> list[Event]:
        """What the market said of orders, with what they extend as far as the endpoint shows that."""
        shown = []
        for event in self.events:
            if "order" not in event.args:
                continue
            shown.append(event)
            previous = self.extensions.get(event.args["order"])
            if event.name == "OrderPlaced" and previous is not None:
                args = {"order": event.args["order"], "previous": previous}
                index = -1 - event.log_index
                shown.append(replace(event, name="OrderExtended", args=args, log_index=index))
        return shown

    async def order(self, order: OrderId) -> Order | None:
        try:
            found = fold(await self.order_events(order, 0))
        except OrderUnreadable:
            return None
        if found is None or self._emitted("OrderClosed", order):
            return None
        names = ("renter", "start", "end", "k", "n", "slots_hash")
        allows = any(
            terms.allows_hand_over for terms, *_ in self.placed if order_id(self.renter, terms.salt) == order
        )
        return Order(**{name: getattr(found, name) for name in names}, hand_overs=allows << 11)

    async def losses(self, order: OrderId, starts: Sequence[Epoch]) -> list[Loss | None]:
        return [
            Loss(farmer=FarmerId(0), lost_epoch=start, lost_block=self.block, collateral=0)
            if (order, slot, start) in self.lost
            else None
            for slot, start in enumerate(starts)
        ]

    async def close(self, held: Held) -> Receipt:
        """Gives back what the test put into `to_return`: refund and compensation."""
        if self.is_closing or self._emitted("OrderClosed", held.order):
            raise TransactionReverted("close", "UnknownOrder", {"order": held.order})
        self.closed.append(held)
        refund, compensation = self.to_return
        self.vaults[self.renter] = self.vaults.get(self.renter, 0) + refund + compensation
        self.block += 1
        returned = {"refund": refund, "compensation": compensation}
        self._emit("OrderClosed", {"order": held.order, "renter": self.renter, **returned})
        return replace(self._empty_receipt(), events=(self.events[-1],))

    def repair(self, order: OrderId, slot: int, farmer: FarmerId) -> None:
        """Another farmer takes a slot over."""
        filled = next(
            e
            for e in self.events
            if e.name == "SlotFilled" and (e.args["order"], e.args["slot"]) == (order, slot)
        )
        start = self.block // PARAMETERS.epoch_blocks + 1
        self.block += 1
        self._emit("SlotFilled", {**filled.args, "farmer": farmer, "from": start})

    def lose(self, order: OrderId, slot: int) -> None:
        """Its farmer declares a slot lost."""
        self.block += 1
        self._emit("LossDeclared", {"order": order, "slot": slot})

    def reorg(self, to_block: int) -> None:
        """Everything after a block never happened, and other blocks follow."""
        self.fork += 1
        self.reorged_to = to_block
        self.events = [event for event in self.events if event.block <= to_block]
        self.block += 1

    def mine_again(self, events: Sequence[Event]) -> None:
        """The transactions of these events, which were dropped, get into the next block."""
        lost = [event for event in events if event not in self.events]
        self.block += 1
        for event in lost:
            self._emit(event.name, dict(event.args))


def break_peer(patch: pytest.MonkeyPatch, method: str, farmer: int) -> None:
    """From now on this method of Peer raises, for one farmer, what no code of ours raises."""
    whole = getattr(Peer, method)

    async def broken(peer: Peer, *args: Any, **options: Any) -> Any:
        if peer.farmer.id == farmer:
            raise ZeroDivisionError("a bug \x1b[2J of some library")
        return await whole(peer, *args, **options)

    patch.setattr(Peer, method, broken)


def without_old_logs(world: "World", first_block: int, patch: pytest.MonkeyPatch) -> list[int]:
    """No logs of an earlier block are given; gives the first blocks of the ranges that were."""
    whole, given = world.market.logs_matching, list[int]()
    kept = type(world.market).order

    async def order(one: OrderId) -> Order | None:
        """What the contract keeps is no log, and stays."""
        with pytest.MonkeyPatch.context() as unpruned:
            unpruned.setattr(world.market, "logs_matching", whole)
            return await kept(world.market, one)

    async def newer(first: int, last: int, filters: Sequence[EventFilter]) -> list[Event]:
        if first < first_block:
            raise RpcError("eth_getLogs", -32701, "old data not available due to pruning")
        given.append(first)
        return await whole(first, last, filters)

    patch.setattr(world.market, "logs_matching", newer)
    if "order" not in vars(world.market):
        patch.setattr(world.market, "order", order)
    return given


@dataclass(slots=True, kw_only=True)
class World:
    """A market, its farmers, and a renter with a home."""

    market: FakeMarket
    farmers: list[FakeFarmer]
    identity: Identity
    home: Path
    policy: RetryPolicy = CALM

    @asynccontextmanager
    async def renter(
        self,
        home: Path | None = None,
        *,
        clock_ahead: int = 0,
        busy_seconds: float = BUSY_SECONDS,
        first_block: int = 0,
    ) -> AsyncIterator[Renter]:
        """The renter, on this machine or another, whose clock may be some seconds ahead; it reads the chain
        from a block on."""
        folder = home or self.home
        folder.mkdir(parents=True, exist_ok=True)
        async with Renter.assembled(
            identity=self.identity,
            market=self.market,
            catalog_path=folder / "catalog.sqlite",
            policy=self.policy,
            freshness=Freshness(fresh_seconds=0.0, usable_seconds=0.0),
            busy_seconds=busy_seconds,
            first_block=first_block,
            now=lambda: NOW + clock_ahead,
        ) as renter:
            yield renter

    def farmer(self, number: int) -> FakeFarmer:
        """By id."""
        return self.farmers[number - 1]

    def change(self, number: int, **fields: Any) -> None:
        """Change what the chain says of a farmer."""
        self.market.known[number - 1] = replace(self.market.known[number - 1], **fields)

    def sell(self, price_per_gib: int, *, vault: int) -> None:
        """From now on farmers want to be paid for reads, and the renter has so much in its vault.

        What they accepted before is read at what they signed then.
        """
        for number, farmer in enumerate(self.market.known, 1):
            self.change(number, offer=replace(farmer.offer, egress_price_per_gib=price_per_gib))
            self.farmer(number).behaviour.egress_price_per_gib = price_per_gib
        self.market.vaults[self.market.renter] = vault

    @property
    def staged(self) -> int:
        """Slots that farmers hold, placed or not."""
        return sum(len(farmer.pieces) for farmer in self.farmers)


def farmer_view(number: int, operator: Address, endpoint: str, **fields: Any) -> Farmer:
    """A farmer as the chain shows it."""
    defaults: dict[str, Any] = {
        "owner": address_from(sha256(b"owner %d" % number).digest()[:20]),
        "stake": 10**6 * TOKEN,
        "committed_rate": 0,
        "settled_epoch": Epoch(0),
        "misses": 0,
        "strikes": 0,
        "epochs_proven": 0,
        "registered_block": 0,
        "ceiling": NO_LIMIT,
        "loss_limit": NO_LIMIT,
        "lapsed": False,
        "offer": Offer(
            price_per_gib_epoch=TOKEN, egress_price_per_gib=0, capacity_bytes=1 << 40, longest_term_epochs=400
        ),
    }
    return Farmer(id=FarmerId(number), operator=operator, endpoint=endpoint, **(defaults | fields))


@asynccontextmanager
async def open_world(home: Path, farmers: int) -> AsyncIterator[World]:
    """A market with so many farmers that serve."""
    who = identity(WORDS)
    market = FakeMarket(who.wallet)
    fleet = [FakeFarmer(number, market) for number in range(1, farmers + 1)]
    try:
        for farmer in fleet:
            farmer.behaviour.acceptance = honest
            endpoint = await farmer.start()
            market.known.append(farmer_view(farmer.id, farmer.wallet.address, endpoint))
        yield World(market=market, farmers=fleet, identity=who, home=home)
    finally:
        for farmer in fleet:
            await farmer.stop()


def _answered(answer: BaseModel, status: int = 200) -> web.Response:
    return web.Response(body=format_body(answer), status=status, content_type="application/json")


def _refused(code: ErrorCode, **detail: int) -> web.HTTPException:
    return _error(code.status, code, **detail)


def _error(status: int, code: str, **detail: int) -> web.HTTPException:
    """With a status that does not go with the code, too."""
    answer = ErrorAnswer(error=code, message=f"no: {code}", detail=detail)
    error = web.HTTPException(text=answer.model_dump_json(), content_type="application/json")
    error.set_status(status)
    return error


def _hex_json(value: Any) -> str:
    return json.dumps({k: v.hex() if isinstance(v, bytes) else v for k, v in value.items()})
