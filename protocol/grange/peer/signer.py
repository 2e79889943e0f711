"""Signing requests to farmers with one's key, so that none can be used elsewhere, later or twice."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from grange.chain import Wallet
from grange.messages import NONCE_BYTES, Domain, request_digest, sign_digest
from grange.peer.clocks import Clocks
from grange.peer.timeouts import PeerTimeouts
from grange.types import Address, FarmerId
from grange.wire.headers import Authorization


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs requests with the key of a renter, or of a repairer."""

    domain: Domain
    wallet: Wallet
    timeouts: PeerTimeouts
    now: Callable[[], float] = time.time
    random: Callable[[int], bytes] = secrets.token_bytes
    account: Address | None = None
    """On whose behalf requests are made, if not the wallet's own: its delegate's key signs."""
    contract_wallet: Address | None = None
    """In whose own name requests are made, if it is a contract that calls our signatures its own."""
    clocks: Clocks = field(default_factory=Clocks, compare=False)
    """What those who refused a request for its time say of theirs."""

    def authorization(self, farmer: FarmerId, method: str, path: str, content: bytes) -> str:
        """The value of the Authorization header, good for one request to one farmer."""
        expires = int(self.now()) + self.timeouts.request_life_seconds
        nonce = self.random(NONCE_BYTES)
        digest = request_digest(
            self.domain,
            method=method,
            path=path,
            farmer=farmer,
            expires=expires,
            nonce=nonce,
            content=content,
        )
        signature = sign_digest(self.wallet.private_key, digest)
        return str(
            Authorization(
                renter=self.contract_wallet or self.wallet.address,
                expires=expires,
                nonce=nonce,
                content=content,
                signature=signature,
            )
        )
