"""The farmers of the market as a repairer deals with them, who follows the chain and reads from many of them.

Adds to the shared directory the farmers as the chain was read last, and reading for one repair: over a
session of its own, whose incoming bytes are counted, and at no more than the prices of when it began.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import aiohttp

from grange.allow_lists import FARMERS, AllowLists, Listed, ListFiles, ListInvalid
from grange.chain import Farmer
from grange.executors import Executors
from grange.peer import Meter, Peer, Signer, open_session
from grange.peer.payment_channels import PaymentChannels
from grange.peer.read_payments import Budget, ReadPayments
from grange.transfer.aging import Freshness
from grange.transfer.directory import FarmerDirectory
from grange.transfer.listed import is_denied
from grange.transfer.retry import RetryPolicy
from grange.types import Address, FarmerId
from grange_node.config import CHANNELS_NAME
from grange_node.errors import StoreFailed
from grange_node.files import FOLDER_MODE
from grange_node.pieces.folders import translated
from grange_node.repair.market import RepairMarket

AS_FOLLOWED: Final = Freshness(fresh_seconds=0.0, usable_seconds=0.0)
"""Anyone who follows the chain knows when something has changed."""


class FollowedDirectory(FarmerDirectory):
    """Open it with `FollowedDirectory.open`; `learn` comes first."""

    farmers: Mapping[FarmerId, Farmer] = {}
    """All of them, by id, as the chain was read last."""

    def learn(self, farmers: Mapping[FarmerId, Farmer]) -> None:
        """The farmers as the chain has them now."""
        self.farmers = farmers

    def operator_of(self, farmer: FarmerId) -> Address | None:
        """As the chain was read last."""
        known = self.farmers.get(farmer)
        return super().operator_of(farmer) if known is None else known.operator

    def denied(self) -> frozenset[FarmerId]:
        """Those on the deny list: they get nothing, and are read from only where the others are not
        enough."""
        return frozenset(one.id for one in self.farmers.values() if is_denied(self.lists, one))

    def taker(self, farmer: FarmerId) -> Peer:
        """A farmer to hand pieces to."""
        return self.peer(self.farmers[farmer])

    @asynccontextmanager
    async def reading(self, budget: Budget) -> AsyncIterator[Reading]:
        """For one repair: what it reads is counted by itself, and costs no more than its budget, nor more
        than the prices of now: anyone who raises its price then is not read from."""
        meter, chain_id = Meter(), self.signer.domain.chain_id
        async with open_session(self.policy.timeouts, meter, chain_id=chain_id) as session:
            yield Reading(self, session, meter, self.payments.within(budget))


@asynccontextmanager
async def open_directory(
    folder: Path,
    market: RepairMarket,
    executors: Executors,
    *,
    policy: RetryPolicy | None = None,
    freshness: Freshness = AS_FOLLOWED,
    own: FarmerId | None = None,
    only_looks: bool = False,
) -> AsyncIterator[FollowedDirectory]:
    """The farmers for the key of `market`, which signs and pays; what it signed away is kept in `folder`.

    That is made if it is not there, but not what is above it, which may be the place of a disk that is not
    mounted. Lists of farmers that are allowed or denied, if there are any, are in it too, and read now;
    a farm of our `own` need not be on them. With `only_looks` nothing is to be signed, and nothing is made.
    Raises StorageFull, StoreFailed.
    """
    wallet, policy = market.sender.wallet, policy or RetryPolicy()
    if not only_looks:
        _make(folder)
    lists = _with_own(_read_lists(folder), own)
    async with AsyncExitStack() as stack:
        channels = stack.enter_context(
            PaymentChannels.open(
                None if only_looks else folder / CHANNELS_NAME, domain=market.domain, payer=wallet.address
            )
        )
        payments = ReadPayments(domain=market.domain, wallet=wallet, channels=channels, executors=executors)
        signer = Signer(domain=market.domain, wallet=wallet, timeouts=policy.timeouts)
        yield await stack.enter_async_context(
            FollowedDirectory.open(market, signer, payments, policy=policy, freshness=freshness, lists=lists)
        )


def _make(folder: Path) -> None:
    with translated(f"making {folder}"):
        folder.mkdir(FOLDER_MODE, exist_ok=True)


def _read_lists(folder: Path) -> AllowLists:
    try:
        return ListFiles(folder=folder, of=FARMERS).read()
    except ListInvalid as error:
        raise StoreFailed(error.message, detail=error.detail, hint=error.hint) from error


def _with_own(lists: AllowLists, own: FarmerId | None) -> AllowLists:
    if own is None or not lists.allowed:
        return lists
    return replace(lists, allowed=(*lists.allowed, Listed(who=own)))


class Reading:
    """What one repair reads, and how much."""

    def __init__(
        self,
        directory: FollowedDirectory,
        session: aiohttp.ClientSession,
        meter: Meter,
        payments: ReadPayments,
    ) -> None:
        self._directory = directory
        self._priced = directory.farmers
        self._session = session
        self._meter = meter
        self._payments = payments

    @property
    def received_bytes(self) -> int:
        """What came in at the sockets."""
        return self._meter.received_bytes

    def source(self, farmer: FarmerId, most_per_gib: int) -> Peer:
        """A farmer to read a slot from for which it has signed this price for a GiB."""
        known = self._directory.farmers[farmer]
        price = min(known.offer.egress_price_per_gib, self._priced[farmer].offer.egress_price_per_gib)
        known = replace(known, offer=replace(known.offer, egress_price_per_gib=price))
        return Peer(known, self._session, self._directory.signer, self._payments, most_per_gib)
