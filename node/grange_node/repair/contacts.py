"""The farmers of the market as a repairer deals with them: their addresses, peers to talk to, who answers.

Decides how many are asked at once whether they have room. Each repair reaches its sources over
a session of its own, whose incoming bytes are counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import aiohttp

from grange.chain import Farmer
from grange.peer import FARMER_FAULTS, Meter, Peer, Signer, dealing_with, networks_of, open_session
from grange.peer.purse import Budget, Purse
from grange.transfer.retry import RetryPolicy
from grange.types import FarmerId
from grange_node.repair.crew import Wanted

MAX_PROBES_AT_ONCE: Final = 16


class Contacts:
    """Open it with `Contacts.open`; `know` comes first."""

    def __init__(
        self, signer: Signer, purse: Purse, policy: RetryPolicy, writing: aiohttp.ClientSession
    ) -> None:
        self.policy = policy
        self.tabs = purse.tabs
        self._purse = purse
        self.signer = signer
        self._writing = writing
        self._farmers: Mapping[FarmerId, Farmer] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, signer: Signer, purse: Purse, policy: RetryPolicy) -> AsyncIterator[Contacts]:
        """With a session of its own; what is read is paid out of the purse."""
        async with open_session(policy.timeouts, chain_id=signer.domain.chain_id) as writing:
            yield cls(signer, purse, policy, writing)

    @asynccontextmanager
    async def reading(self, budget: Budget) -> AsyncIterator[Reading]:
        """For one repair: what it reads is counted by itself, and costs no more than its budget, nor more
        than the prices of now: whoever raises its price then is not read from."""
        meter = Meter()
        async with open_session(self.policy.timeouts, meter, chain_id=self.signer.domain.chain_id) as session:
            yield Reading(self, session, meter, self._purse.within(budget))

    def know(self, farmers: Mapping[FarmerId, Farmer]) -> None:
        """The farmers as the chain has them by now."""
        self._farmers = farmers

    @property
    def farmers(self) -> Mapping[FarmerId, Farmer]:
        """All of them, by id."""
        return self._farmers

    def taker(self, farmer: FarmerId) -> Peer:
        """A farmer to hand pieces to."""
        return Peer(self._farmers[farmer], self._writing, self.signer)

    async def who_answers(self, farmers: Sequence[Farmer]) -> list[Wanted]:
        """Those of some farmers that answer and are who they should be, with their room."""
        gate = asyncio.Semaphore(MAX_PROBES_AT_ONCE)

        async def one(farmer: Farmer) -> Wanted | None:
            async with gate:
                try:
                    with dealing_with(farmer.id):
                        info = await self.taker(farmer.id).greet()
                        networks = await networks_of(farmer)
                except FARMER_FAULTS:
                    return None
            return Wanted(farmer=farmer, free_bytes=info.free_bytes, networks=networks)

        answers = await asyncio.gather(*map(one, farmers))
        return [answer for answer in answers if answer is not None]

    async def whereabouts(self, farmers: Sequence[FarmerId]) -> list[Wanted]:
        """Farmers that need not be asked, with the networks that they are in as far as these are known."""

        async def one(farmer: Farmer) -> Wanted:
            try:
                with dealing_with(farmer.id):
                    networks = await networks_of(farmer)
            except FARMER_FAULTS:
                networks = frozenset()
            return Wanted(farmer=farmer, free_bytes=0, networks=networks)

        return await asyncio.gather(*(one(self._farmers[farmer]) for farmer in farmers))


class Reading:
    """What one repair reads, and how much."""

    def __init__(
        self, contacts: Contacts, session: aiohttp.ClientSession, meter: Meter, purse: Purse
    ) -> None:
        self._contacts = contacts
        self._priced = contacts.farmers
        self._session = session
        self._meter = meter
        self._purse = purse

    @property
    def received_bytes(self) -> int:
        """What came in at the sockets."""
        return self._meter.received_bytes

    def source(self, farmer: FarmerId) -> Peer:
        """A farmer to read from."""
        known = self._contacts.farmers[farmer]
        price = min(known.offer.egress_price_per_gib, self._priced[farmer].offer.egress_price_per_gib)
        known = replace(known, offer=replace(known.offer, egress_price_per_gib=price))
        return Peer(known, self._session, self._contacts.signer, self._purse)
