"""One farmer over HTTP: signed requests out, checked answers back.

Decides what counts as an answer: nothing is taken on trust that can be checked
here (lengths, roots, the shape of JSON), redirects are not followed, bodies are read no further than agreed.
A farmer that says no raises FarmerRefused, one that does not answer FarmerUnreachable, one that answers with
what cannot be FarmerLied. Leaves retrying, and what an acceptance or a block must be, to those above.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from grange.chain import Farmer
from grange.messages import NO_CONTENT
from grange.peer.address_policy import AddressPolicy, AddressRefused
from grange.peer.errors import FarmerLied, FarmerRefused, FarmerUnreachable, PieceClosed
from grange.peer.meter import Meter, MeteredConnector
from grange.peer.names import Resolver
from grange.peer.rate_limit import PACED_BYTES, LimitedTransfer, TransferLimits
from grange.peer.read_payments import Payment, ReadPayments, asks_more_than_signed
from grange.peer.signer import Signer
from grange.peer.timeouts import PeerTimeouts
from grange.plain_errors import describe_http_error
from grange.types import Epoch, OrderId
from grange.wire import headers, paths
from grange.wire.bodies import (
    AcceptanceAnswer,
    AcceptanceRequest,
    Account,
    ErrorAnswer,
    Info,
    Listing,
    PiecePath,
    Shortage,
    ShownOrder,
    StoredPiece,
    format_body,
    parse_answer,
)
from grange.wire.codes import ErrorCode
from grange.wire.limits import MAX_ANSWER_BYTES, MAX_ERROR_BYTES, STEP_BYTES

MAX_ENDPOINT_CHARACTERS = 512
READ_BUFFER_BYTES = 1 << 20
MAX_CONNECTIONS_PER_FARMER = 4
PAYMENT_TRIES = 4
"""How often a read is made while farmer and reader find out what stands between them."""

Json = TypeVar("Json", bound=BaseModel)


def open_session(
    timeouts: PeerTimeouts, meter: Meter | None = None, *, chain_id: int
) -> aiohttp.ClientSession:
    """The HTTP session for all farmers of a chain; `meter` counts what comes in. Who opens it closes it."""
    policy = AddressPolicy.on(chain_id)
    return aiohttp.ClientSession(
        connector=MeteredConnector(
            meter or Meter(),
            limit=0,
            limit_per_host=MAX_CONNECTIONS_PER_FARMER,
            ttl_dns_cache=300,
            resolver=Resolver(policy),
        ),
        middlewares=(policy,),
        timeout=aiohttp.ClientTimeout(
            total=timeouts.request_seconds,
            sock_connect=timeouts.connect_seconds,
            sock_read=timeouts.silence_seconds,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=READ_BUFFER_BYTES,
        auto_decompress=False,
        trust_env=False,
    )


class Peer:
    """A farmer at its endpoint."""

    def __init__(
        self,
        farmer: Farmer,
        session: aiohttp.ClientSession,
        signer: Signer,
        payments: ReadPayments | None = None,
        most_per_gib: int | None = None,
        *,
        limits: TransferLimits | None = None,
    ) -> None:
        """Without payments only farmers that ask nothing for it are read from. `most_per_gib` is what the
        farmer has signed that reading costs, in base units: it is not paid more. `limits` are shared with
        what goes to other farmers."""
        self.farmer = farmer
        self._limits = limits or TransferLimits()
        self._payments = payments
        self._most_per_gib = most_per_gib
        self._session = session
        self._signer = signer
        self._base = endpoint_url(farmer)

    def __repr__(self) -> str:
        return f"Peer({self.farmer.id})"

    async def info(self) -> Info:
        """Who is there; not signed."""
        timeout = aiohttp.ClientTimeout(total=self._signer.timeouts.info_seconds)
        async with self._sent("GET", paths.INFO, NO_CONTENT, signed=False, timeout=timeout) as response:
            return await self._json(response, Info)

    async def greet(self) -> Info:
        """Who is there, if it is who should be: FarmerLied for another farmer, or one of another market."""
        info, domain = await self.info(), self._signer.domain
        if info.farmer != self.farmer.id:
            raise FarmerLied(f"Farmer {info.farmer} answers where farmer {self.farmer.id} should be.")
        if info.chain_id != domain.chain_id or info.market.lower() != domain.market.lower():
            raise FarmerLied(f"Farmer {self.farmer.id} serves another market.")
        return info

    async def put_piece(self, order: OrderId, slot: int, piece: int, data: Any, root: bytes) -> None:
        """Hand over a piece whose root we know; FarmerLied if the farmer computes another."""
        path = paths.piece_path(order, slot, piece)
        async with (
            self._limits.upload.turn(len(data)) as turn,
            self._sent("PUT", path, root, data=_PieceBody(data, turn)) as response,
        ):
            stored = await self._json(response, StoredPiece)
        if stored.root != root:
            raise FarmerLied(f"Farmer {self.farmer.id} computed another root for a piece than it has.")

    async def accept(self, order: OrderId, slot: int, request: AcceptanceRequest) -> AcceptanceAnswer:
        """Ask for the farmer's acceptance; what it says is not checked here."""
        body = format_body(request)
        path = paths.accept_path(order, slot)
        async with self._sent("POST", path, headers.content_hash(body), data=body) as response:
            return await self._json(response, AcceptanceAnswer)

    async def read(self, order: OrderId, slot: int, start: int, size_bytes: int) -> bytes:
        """So many bytes of a slot, all of them, one step after the other; paid if the farmer wants to be.

        Raises OverBudget besides what farmers can do.
        """
        end, first = start + size_bytes, start
        steps = []
        with self._limits.download.expect(size_bytes) as expected:
            while first < end:
                step_bytes = min(self._limits.download.step_bytes(STEP_BYTES), end - first)
                await expected.take(step_bytes)
                steps.append(await self._step_in_time(order, slot, first, step_bytes))
                first += step_bytes
        return steps[0] if len(steps) == 1 else b"".join(steps)

    async def account(self) -> Account | None:
        """What we stand for with this farmer, as it says; None if it says that there was nothing yet."""
        try:
            async with self._sent("GET", paths.ACCOUNT, NO_CONTENT) as response:
                return await self._json(response, Account)
        except FarmerRefused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def order(self, order: OrderId) -> ShownOrder:
        """The slots of an order of which the farmer keeps one, as the farmer has them; what it says is not
        checked here. It costs nothing, and is not waited for longer than `info`."""
        timeout = aiohttp.ClientTimeout(total=self._signer.timeouts.info_seconds)
        async with self._sent("GET", paths.order_path(order), NO_CONTENT, timeout=timeout) as response:
            return await self._json(response, ShownOrder)

    async def _step_in_time(self, order: OrderId, slot: int, start: int, size_bytes: int) -> bytes:
        """A contract wallet is served so much and no more before its vouchers are redeemed, which takes a
        block or some: until then it waits, and nothing is paid for it."""
        timeouts = self._signer.timeouts
        for _ in range(timeouts.wallet_waits):
            try:
                return await self._step(order, slot, start, size_bytes)
            except FarmerRefused as error:
                if self._signer.contract_wallet is None or error.code != ErrorCode.LIMIT_REACHED:
                    raise
            await asyncio.sleep(timeouts.wallet_pause_seconds)
        return await self._step(order, slot, start, size_bytes)

    async def _step(self, order: OrderId, slot: int, start: int, size_bytes: int) -> bytes:
        for _ in range(PAYMENT_TRIES - 1):
            payment = await self._pay(size_bytes)
            try:
                return await self._ranged(order, slot, start, size_bytes, payment)
            except FarmerRefused as error:
                if error.code != ErrorCode.PAYMENT_NEEDED:
                    raise
                if payment is None:
                    if self._most_per_gib == 0:
                        raise asks_more_than_signed(self.farmer.id) from error
                    raise
                await self._reconcile(payment, error)
        payment = await self._pay(size_bytes)
        return await self._ranged(order, slot, start, size_bytes, payment)

    async def _pay(self, size_bytes: int) -> Payment | None:
        if self._payments is None:
            return None
        return await self._payments.pay(self.farmer, size_bytes, self._most_per_gib)

    async def _reconcile(self, payment: Payment, error: FarmerRefused) -> None:
        """Find out with the farmer what stands, after it found a voucher too small."""
        assert self._payments is not None
        try:
            shortage = Shortage.model_validate(error.values)
        except ValidationError:
            raise error from None
        channel = await self._payments.channel(self.farmer.id)
        self._payments.check_price(payment, shortage)
        if shortage.cumulative > channel.total or (shortage.spent and not channel.standing):
            account = await self.account()
            if account is None:
                raise error
            await self._payments.recall(self.farmer.id, account)
        else:
            await self._payments.doubted(payment, shortage)

    async def _ranged(
        self, order: OrderId, slot: int, start: int, size_bytes: int, payment: Payment | None
    ) -> bytes:
        try:
            return await self._read(order, slot, start, size_bytes, payment)
        except FarmerRefused:
            if payment and self._payments:
                await self._payments.unserved(payment, doubtful=False)
            raise
        finally:
            if payment and self._payments:
                await self._payments.unserved(payment, doubtful=True)

    async def _read(
        self, order: OrderId, slot: int, start: int, size_bytes: int, payment: Payment | None
    ) -> bytes:
        wanted = headers.format_range(start, start + size_bytes)
        content = headers.content_hash(wanted.encode())
        voucher = payment.header if payment else None
        path = paths.slot_path(order, slot)
        async with self._sent("GET", path, content, byte_range=wanted, voucher=voucher) as response:
            if payment and self._payments:
                self._payments.served(payment)
            if response.status == HTTPStatus.PARTIAL_CONTENT:
                self._check_range(response, start, start + size_bytes)
            elif start:
                raise FarmerLied(f"Farmer {self.farmer.id} answered everything instead of a range.")
            if response.content_length not in (None, size_bytes):
                raise FarmerLied(f"Farmer {self.farmer.id} announced another length than was asked for.")
            return await response.content.readexactly(size_bytes)

    def _check_range(self, response: aiohttp.ClientResponse, start: int, end: int) -> None:
        try:
            answered = headers.parse_content_range(response.headers.get("Content-Range", ""))
        except ValueError:
            answered = None
        if answered != (start, end):
            raise FarmerLied(f"Farmer {self.farmer.id} answered another range than was asked for.")

    async def piece_path(self, order: OrderId, slot: int, piece: int) -> PiecePath:
        """Which root a piece has, and the path that proves it."""
        path = paths.proof_path(order, slot, piece)
        async with self._sent("GET", path, NO_CONTENT) as response:
            return await self._json(response, PiecePath)

    async def listing(self, order: OrderId, slot: int, first: int = 0) -> Listing:
        """Which pieces of a slot are there, from index `first` on, as far as one page goes."""
        path = paths.listing_path(order, slot, first)
        async with self._sent("GET", path, NO_CONTENT) as response:
            return await self._json(response, Listing)

    async def drop(self, order: OrderId, slot: int) -> None:
        """Let go of what was staged."""
        async with self._sent("DELETE", paths.slot_path(order, slot), NO_CONTENT):
            pass

    def _sent(self, method: str, path: str, content: bytes, **options: Any) -> "_Exchange":
        if self._signer.account is not None and options.get("signed", True):
            path = paths.on_behalf(path, self._signer.account)
        return _Exchange(self, method, path, content, **options)

    async def _json(self, response: aiohttp.ClientResponse, shape: type[Json]) -> Json:
        body = await response.content.read(MAX_ANSWER_BYTES + 1)
        while not response.content.at_eof() and len(body) <= MAX_ANSWER_BYTES:
            body += await response.content.read(MAX_ANSWER_BYTES + 1 - len(body))
        try:
            if len(body) > MAX_ANSWER_BYTES:
                raise ValueError("too long")
            return parse_answer(shape, body)
        except ValueError as error:
            raise FarmerLied(f"Farmer {self.farmer.id} sent an answer that cannot be read.") from error


class _PieceBody(aiohttp.BytesPayload):
    """A piece behind its headers, and not in one block with them: to join them would copy the piece. Where
    uploads are limited it goes in parts, each when it may."""

    def __init__(self, data: Any, turn: LimitedTransfer) -> None:
        super().__init__(data)
        self._turn = turn

    async def write_with_length(
        self, writer: aiohttp.abc.AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Send the headers by themselves, then the piece."""
        writer.send_headers()
        if not self._turn.is_limited:
            await super().write_with_length(writer, content_length)
            return
        data = memoryview(self._value)[:content_length]
        for start in range(0, len(data), PACED_BYTES):
            part = data[start : start + PACED_BYTES]
            await self._turn.take(len(part))
            await writer.write(part)


class _Exchange:
    """A request that was answered with success; the response is closed on leaving."""

    def __init__(
        self,
        peer: Peer,
        method: str,
        path: str,
        content: bytes,
        *,
        signed: bool = True,
        data: Any = None,
        byte_range: str | None = None,
        voucher: str | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> None:
        self._peer = peer
        self._method = method
        self._url = peer._base.join(URL(path))
        self._headers = {
            "Content-Type": "application/json" if method == "POST" else "application/octet-stream"
        }
        if byte_range:
            self._headers["Range"] = byte_range
        if voucher:
            self._headers[headers.VOUCHER] = voucher
        if signed:
            self._headers["Authorization"] = peer._signer.authorization(
                peer.farmer.id, method, self._url.raw_path_qs, content
            )
        self._data = data
        self._options = {"timeout": timeout} if timeout else {}
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        with _translated(self._peer.farmer):
            self._response = await self._peer._session.request(
                self._method,
                self._url,
                data=self._data,
                headers=self._headers,
                allow_redirects=False,
                **self._options,  # type: ignore[arg-type]
            )
        if self._response.status >= HTTPStatus.MULTIPLE_CHOICES:
            try:
                raise await self._refusal(self._response)
            finally:
                self._response.release()
        return self._response

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        assert self._response is not None
        if error is None:
            self._response.release()
            return
        self._response.close()
        with _translated(self._peer.farmer):
            raise error

    async def _refusal(self, response: aiohttp.ClientResponse) -> FarmerRefused:
        code, message, detail = "http", response.reason or "", dict[str, Any]()
        try:
            words = parse_answer(ErrorAnswer, await response.content.read(MAX_ERROR_BYTES))
            code, message, detail = words.error, words.message, words.detail
        except (ValueError, aiohttp.ClientError, TimeoutError):
            pass
        text = "".join(c for c in message if c.isprintable())
        farmer, signer = self._peer.farmer.id, self._peer._signer
        off = ""
        if response.status == HTTPStatus.UNAUTHORIZED:
            off = signer.clocks.note(farmer, detail, signer.now())
        what = off or f"Farmer {farmer} refuses ({response.status} {code}): {text}"
        open_epoch = detail.get("epoch") if code == ErrorCode.CLOSED_UNTIL_EPOCH else None
        if isinstance(open_epoch, int) and 0 <= open_epoch < 1 << 32:
            return PieceClosed(
                what, status=response.status, code=code, open_epoch=Epoch(open_epoch), values=detail
            )
        return FarmerRefused(what, status=response.status, code=code, values=detail)


def endpoint_url(farmer: Farmer) -> URL:
    """A farmer's endpoint as a URL; FarmerUnreachable if what it registered is not a URL."""
    try:
        if len(farmer.endpoint) > MAX_ENDPOINT_CHARACTERS:
            raise ValueError("too long")
        url = URL(farmer.endpoint)
        if url.scheme not in ("http", "https") or not url.host or url.user or url.password or url.query:
            raise ValueError("not an http address")
    except (ValueError, TypeError) as error:
        raise FarmerUnreachable(
            f"Farmer {farmer.id} registered an endpoint that is not an address."
        ) from error
    return url.origin()


@contextmanager
def _translated(farmer: Farmer) -> Iterator[None]:
    """The HTTP library's errors as ours."""
    try:
        yield
    except TimeoutError as error:
        raise FarmerUnreachable(f"Farmer {farmer.id} did not answer in time.") from error
    except AddressRefused as error:
        raise FarmerUnreachable(f"Farmer {farmer.id} cannot be reached: {error}.") from error
    except (aiohttp.ClientPayloadError, EOFError) as error:
        raise FarmerUnreachable(f"Farmer {farmer.id} broke off in the middle of its answer.") from error
    except aiohttp.ClientError as error:
        raise FarmerUnreachable(
            f"Farmer {farmer.id} cannot be reached: {describe_http_error(error)}."
        ) from error
    except OSError as error:
        raise FarmerUnreachable(f"Farmer {farmer.id} broke off the connection.") from error
    except UnicodeError as error:
        # What the name lookup raises for a host such as "a..b", which the farmer chose.
        raise FarmerUnreachable(f"Farmer {farmer.id} has an endpoint that is not an address.") from error
