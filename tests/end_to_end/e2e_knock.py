"""Anyone who knocks at a farmer's door: requests made by hand, so that each part of them can be wrong.

Decides nothing about what is allowed; the honest way (`accepted`, `read`) is here as well, for tests that
need something to be at a farmer.
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from e2e_town import Town

from grange.chain import Farmer, Wallet
from grange.merkle import merkle_root, root_of_hashes
from grange.messages import NO_CONTENT, Domain, order_id
from grange.peer import Peer, PeerTimeouts, Signer, open_session
from grange.transfer.selection import asked_rate
from grange.types import Acceptance, Address, Epoch, FarmerId, OrderId, Terms
from grange.units import LEAF_BYTES
from grange.wire import paths
from grange.wire.bodies import PlaceRequest, format_body
from grange.wire.headers import content_hash
from grange_devnet.fleet import FarmerProcess

PIECE_LEAVES = 4
PIECE_BYTES = PIECE_LEAVES * LEAF_BYTES
GRIDS_AHEAD = 8
"""Orders from here outlive their acceptances, which are good for hundreds of blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A slot of an order that somebody may want to place: its bytes, and the salt of its order."""

    salt: bytes
    data: bytes

    @classmethod
    def of_noise(cls, *, seed: int, pieces: int = 1) -> Slot:
        return cls(salt=secrets.token_bytes(32), data=random.Random(seed).randbytes(pieces * PIECE_BYTES))

    @property
    def pieces(self) -> list[bytes]:
        return [self.data[start : start + PIECE_BYTES] for start in range(0, len(self.data), PIECE_BYTES)]

    @property
    def root(self) -> bytes:
        return root_of_hashes(b"".join(merkle_root(piece) for piece in self.pieces))

    def order(self, renter: Address) -> OrderId:
        return order_id(renter, self.salt)

    def terms(self, end: Epoch) -> Terms:
        """An order of this slot alone."""
        return Terms(
            salt=self.salt,
            end=end,
            leaf_count=len(self.data) // LEAF_BYTES,
            piece_leaves=PIECE_LEAVES,
            k=1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A slot that is at a farmer, with its acceptance and the terms that it is good for."""

    renter: Address
    slot: Slot
    terms: Terms
    request: PlaceRequest
    acceptance: Acceptance


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: the status, and the farmer's word for what was wrong."""

    status: int
    code: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody with a key at the door of one farmer."""

    farmer: Farmer
    wallet: Wallet
    domain: Domain
    session: aiohttp.ClientSession
    end: Epoch
    """When what is accepted here ends."""

    @property
    def peer(self) -> Peer:
        """The honest way in."""
        return Peer(self.farmer, self.session, self._signer())

    def signed(
        self,
        method: str,
        path: str,
        content: bytes = NO_CONTENT,
        *,
        farmer: FarmerId | None = None,
        at: float | None = None,
        life_seconds: int = 120,
        domain: Domain | None = None,
    ) -> str:
        """An Authorization header, right unless told otherwise."""
        signer = self._signer(at=at, life_seconds=life_seconds, domain=domain)
        return signer.authorization(farmer or self.farmer.id, method, path, content)

    async def ask(
        self,
        method: str,
        path: str,
        authorization: str | None = None,
        *,
        data: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request as it is."""
        complete = {"Content-Type": "application/octet-stream", **(headers or {})}
        if authorization is not None:
            complete["Authorization"] = authorization
        async with self.session.request(
            method, self.farmer.endpoint + path, data=data, headers=complete
        ) as response:
            body = await response.read()
        content = json.loads(body) if response.content_type == "application/json" else {}
        return Answer(status=response.status, code=content.get("error", ""), detail=content.get("detail", {}))

    def slot_path(self, slot: Slot, index: int = 0) -> str:
        return paths.slot_path(slot.order(self.wallet.address), index)

    async def bring(self, slot: Slot) -> None:
        """Hand over all pieces."""
        for index, piece in enumerate(slot.pieces):
            await self.peer.put_piece(slot.order(self.wallet.address), 0, index, piece, merkle_root(piece))

    async def accepted(self, slot: Slot) -> Accepted:
        """Hand over all pieces and get the acceptance."""
        await self.bring(slot)
        return Accepted(
            renter=self.wallet.address,
            slot=slot,
            terms=slot.terms(self.end),
            request=self.acceptance_request(slot),
            acceptance=await self.accept(slot, self.acceptance_request(slot)),
        )

    async def accept(self, slot: Slot, request: PlaceRequest) -> Acceptance:
        """Get the acceptance for what is there."""
        acceptance = await self.peer.accept(slot.order(self.wallet.address), 0, request)
        return Acceptance(
            farmer=self.farmer.id,
            root=acceptance.root,
            rate=acceptance.rate,
            max_egress_price_per_gib=acceptance.max_egress_price_per_gib,
            deadline_block=acceptance.deadline_block,
            r=acceptance.r,
            vs=acceptance.vs,
        )

    async def proposed(self, slot: Slot, **changes: Any) -> Answer:
        """Ask for an acceptance by hand; `changes` are what is not as it should be."""
        body = format_body(self.acceptance_request(slot).model_copy(update=changes))
        path = f"{self.slot_path(slot)}/accept"
        header = self.signed("POST", path, content_hash(body))
        return await self.ask("POST", path, header, data=body)

    def acceptance_request(self, slot: Slot) -> PlaceRequest:
        return PlaceRequest(
            salt=slot.salt,
            k=1,
            pieces=len(slot.pieces),
            piece_leaves=PIECE_LEAVES,
            root=slot.root,
            rate=asked_rate(self.farmer, len(slot.data)),
            end=self.end,
        )

    async def read(self, slot: Slot) -> bytes:
        """The whole slot back."""
        return await self.peer.read(slot.order(self.wallet.address), 0, 0, len(slot.data))

    def _signer(
        self, *, at: float | None = None, life_seconds: int = 120, domain: Domain | None = None
    ) -> Signer:
        return Signer(
            domain=domain or self.domain,
            wallet=self.wallet,
            timeouts=PeerTimeouts(request_life_seconds=life_seconds),
            now=time.time if at is None else lambda: at,
        )


@asynccontextmanager
async def knocking(town: Town, farmer: FarmerProcess, wallet: Wallet) -> AsyncIterator[Visitor]:
    """A visitor with this key at this farmer."""
    grid = town.chain.parameters.grid_epochs
    end = Epoch(((await town.chain.head()).epoch // grid + GRIDS_AHEAD) * grid)
    async with open_session(PeerTimeouts(), chain_id=town.chain.chain_id) as session:
        yield Visitor(
            farmer=await town.on_chain(farmer),
            wallet=wallet,
            domain=town.chain.domain,
            session=session,
            end=end,
        )
