"""Who asks, and whether this very request was meant for us.

A request carries an Authorization header (`grange.wire.headers`) with an EIP-712 `Request`, signed by the
renter's key over method, raw path with query, farmer, expiry, nonce and the hash of what comes with it. So a
request taken off the wire is of no use for another path, farmer, chain or market, nor a second time: nonces
are remembered until they expire. They are kept in memory only; what could be replayed within five minutes of
a restart repeats what the renter itself asked for: the same bytes stored again, read again, or dropped again.

A renter without a key of its own, a contract wallet, is asked whether the signature is its own (ERC-1271): a
request that no key signed is refused with what to ask, and checked again with the answer.

Decided here: whether the request is genuine. Left to others: what the signer may do (`routes`,
`uploads`, `acceptance_service`), whether it is a delegate of the account that it names (`delegates`), and
what a contract wallet says (`wallet_signatures`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from grange.errors import BadSignature
from grange.messages import Domain, recover, request_digest
from grange.types import ADDRESS_BYTES, Address, FarmerId, address_from
from grange.wire.headers import Authorization
from grange.wire.limits import MAX_REQUEST_LIFE_SECONDS
from grange_node.errors import TooBusy, Unauthorised
from grange_node.limits.fair_shares import FairShares
from grange_node.limits.networks import Network
from grange_node.payer import Payer, payer_of

MAX_REMEMBERED_NONCES = 500_000
RENTERS_TO_FILL_THE_MEMORY = 10
"""A single renter gets so small a part of it: 160 requests a second, as long as each lives. And however many
keys somebody makes, a network gets no more than its share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A genuine request: whose it is, the hash of the content it was signed with, and the network that it
    came from."""

    renter: Address
    content: bytes
    network: Network
    delegate: Address | None = None
    """Who signed it, if that is not the renter."""

    @property
    def signer(self) -> Address:
        """Whose key signed it."""
        return self.delegate or self.renter

    @property
    def payer(self) -> Payer:
        """Who pays for what is read."""
        return payer_of(self.renter, self.signer)


class SignatureUnknown(Unauthorised):
    """The renter's key did not sign the request. If the renter is a contract wallet, it may say yes."""

    def __init__(self, message: str, *, farmer: FarmerId, renter: Address, digest: bytes, signature: bytes):
        super().__init__(message, reason="signature", farmer=farmer)
        self.renter = renter
        self.digest = digest
        self.signature = signature


class NonceMemory:
    """Nonces seen, by the second in which they may be forgotten. Bounded, in all, for each network and for
    each renter."""

    def __init__(self, limit: int = MAX_REMEMBERED_NONCES, limit_per_renter: int | None = None) -> None:
        """Remember at most `limit` nonces, of one renter at most a tenth of them if nothing else is said."""
        self._shares = FairShares(limit)
        self._limit_per_renter = limit_per_renter or max(1, limit // RENTERS_TO_FILL_THE_MEMORY)
        self._count = 0
        self._count_by_renter: Counter[bytes] = Counter()
        self._by_expiry: dict[int, dict[bytes, Network]] = {}

    def __len__(self) -> int:
        return self._count

    def remember(self, renter: bytes, nonce: bytes, expires: int, now: int, network: Network) -> None:
        """Take note of a nonce. Raises Unauthorised when it was used before, TooBusy when memory is full, or
        as much of it as one network or one renter may have."""
        entry = renter + nonce
        seconds = self._by_expiry.get(expires)
        if seconds is not None and entry in seconds:
            raise Unauthorised("this request was already used", reason="replayed")
        if self._is_full(renter, network):
            self._forget_before(now)
            if self._is_full(renter, network):
                raise TooBusy("too many requests at once; try again in a few minutes")
        if seconds is None:
            self._forget_before(now)
            seconds = self._by_expiry.setdefault(expires, {})
        seconds[entry] = network
        self._shares.take(network)
        self._count += 1
        self._count_by_renter[renter] += 1

    def _is_full(self, renter: bytes, network: Network) -> bool:
        return not self._shares.may_take(network) or self._count_by_renter[renter] >= self._limit_per_renter

    def _forget_before(self, now: int) -> None:
        for expires in [second for second in self._by_expiry if second <= now]:
            for entry, network in self._by_expiry.pop(expires).items():
                self._shares.give_back(network)
                renter = entry[:ADDRESS_BYTES]
                self._count -= 1
                self._count_by_renter[renter] -= 1
                if not self._count_by_renter[renter]:
                    del self._count_by_renter[renter]


class Gatekeeper:
    """Checks requests to one farmer of one market."""

    def __init__(
        self, domain: Domain, farmer: FarmerId, clock: Callable[[], float], nonces: NonceMemory | None = None
    ) -> None:
        """`clock` gives Unix seconds."""
        self._domain = domain
        self._farmer = farmer
        self._clock = clock
        self._nonces = nonces or NonceMemory()

    def check(
        self,
        method: str,
        path: str,
        authorization: str | None,
        network: Network,
        *,
        approved: bytes | None = None,
    ) -> Signed:
        """The signer of a request with this method and raw path (query included), from this network.
        `approved`: the digest that a contract wallet at the renter's address has called its own.

        Raises Unauthorised, with `reason` one of unsigned, expired, too_long, signature, replayed;
        SignatureUnknown among them, and nothing is remembered of the request then. TooBusy.
        """
        if authorization is None:
            raise Unauthorised("this request must be signed by the renter", reason="unsigned")
        try:
            asked = Authorization.parse(authorization)
        except ValueError as error:
            raise Unauthorised(
                "the Authorization header is not a Grange signature", reason="unsigned"
            ) from error
        now = int(self._clock())
        if asked.expires <= now:
            raise Unauthorised("the request has expired", reason="expired", expires=asked.expires, now=now)
        if asked.expires > now + MAX_REQUEST_LIFE_SECONDS:
            raise Unauthorised(
                f"a request may live {MAX_REQUEST_LIFE_SECONDS} s at most", reason="too_long", now=now
            )
        digest = request_digest(
            self._domain,
            method=method,
            path=path,
            farmer=self._farmer,
            expires=asked.expires,
            nonce=asked.nonce,
            content=asked.content,
        )
        renter = address_from(bytes.fromhex(asked.renter[2:]))
        if digest != approved:
            self._require_key(renter, digest, asked.signature)
        self._nonces.remember(bytes.fromhex(asked.renter[2:]), asked.nonce, asked.expires, now, network)
        return Signed(renter=renter, content=asked.content, network=network)

    def _require_key(self, renter: Address, digest: bytes, signature: bytes) -> None:
        message = "the signature is not the renter's for this method, path, farmer, market and time"
        try:
            if recover(digest, signature) == renter:
                return
        except BadSignature as error:
            message = f"the signature cannot be read: {error}"
        raise SignatureUnknown(
            message, farmer=self._farmer, renter=renter, digest=digest, signature=signature
        )


def require_content(signed: Signed, content: bytes) -> None:
    """Raise Unauthorised unless the request was signed for exactly this content hash."""
    if signed.content != content:
        raise Unauthorised("the request was signed for other content", reason="content")
