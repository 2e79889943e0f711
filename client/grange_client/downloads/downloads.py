"""Fetching orders: a plan of what is read from whom and for how much, which is shown and then carried out.

    plan = await downloads.plan(order, only=[b"photos/cat.jpg"])
    plan.cost                                       shown to the person
    restored = await downloads.run(plan, target)    from the same farmers, at the same prices

Who keeps the order is read once, for the plan. Leaves what is restored to `restore`, the bytes to `reader`.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from grange.chain import Farmer
from grange.chain.orders import OrderState
from grange.executors import Executors
from grange.peer import Budget, Peer, ReadPayments
from grange.tasks import together
from grange.transfer.directory import FarmerDirectory
from grange.transfer.events import Listener, Step, ignore_progress, only_complaints, without_failures
from grange.transfer.retry import RetryPolicy
from grange.types import Epoch, OrderId
from grange_client.downloads.cost import ReadCost, check_vault, estimate_read_cost
from grange_client.downloads.holders import Holders, find_holders
from grange_client.downloads.pack_bytes import PackBytes
from grange_client.downloads.reader import OrderReader
from grange_client.downloads.rebuild import SlotRebuilder
from grange_client.downloads.restore import Restored, blocks_of, chosen, fetch_manifest, restore
from grange_client.errors import PAY_MORE, Unopened
from grange_client.files.manifest import Manifest
from grange_client.files.scan import Kind
from grange_client.files.target import Target
from grange_client.keys.recovery_phrase import Identity
from grange_client.orders.catalog import Catalog
from grange_client.orders.market import RenterMarket
from grange_client.orders.notes import Notes
from grange_client.orders.order_keys import OrderKeys
from grange_client.orders.reputations import Reputations
from grange_client.orders.tenure_check import TenureCheck

LIARS_LAST: Final = "Run this again: farmers that sent wrong bytes, or broke off, are asked last from now on."
"""For what nobody could allow more for: enough of the others, asked first, do not come to the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadPlan:
    """What getting an order takes, or the paths in `only`; all of it if there are none."""

    holders: Holders
    manifest: Manifest
    only: tuple[bytes, ...]
    cost: ReadCost
    """If nothing of it is there yet."""
    at_any_price: bool
    """Whether those that ask a ransom are read from too."""
    paid: int = 0
    """What reading the manifest has cost in this session, in base units, whenever that was."""

    @property
    def order(self) -> OrderState:
        """As it is kept when the plan is made."""
        return self.holders.order


@dataclass(slots=True, kw_only=True)
class Downloads:
    """What fetching needs from its surroundings. `diagnose` says what was the matter when too few farmers
    answer."""

    identity: Identity
    keys: OrderKeys
    market: RenterMarket
    tenures: TenureCheck
    directory: FarmerDirectory
    catalog: Catalog
    reputations: Reputations
    policy: RetryPolicy
    executors: Executors
    notes: Notes
    diagnose: Callable[[OrderState], AbstractAsyncContextManager[None]]
    epoch: Callable[[], Awaitable[Epoch]]
    """The present one, as far as it is known."""
    _manifest: tuple[OrderId, Manifest] | None = field(default=None, init=False)
    """The one that was read last: it may be long."""
    _paid: dict[OrderId, int] = field(default_factory=dict, init=False)
    """What was spent on manifests."""
    _rebuilding: Budget = field(default_factory=Budget, init=False)
    """What was spent on making slots again."""

    @property
    def paid_besides(self) -> int:
        """What reading manifests and rebuilding slots has cost in this session, in base units."""
        return sum(self._paid.values()) + self._rebuilding.spent

    async def as_kept(self, order: OrderState) -> OrderState:
        """The order with those who keep its slots now. Raises the errors of the chain."""
        return await self.tenures.known(order)

    async def holders(self, order: OrderState) -> Holders:
        """Who keeps an order, and what they ask. Raises the errors of the chain."""
        order = await self.as_kept(order)
        return await find_holders(
            order,
            self.directory,
            await self.executors.in_database(self.reputations.records),
            is_confirmed=self.tenures.is_confirmed(order),
        )

    async def manifest(
        self, order: OrderState, watch: Listener = ignore_progress, *, budget: Budget | None = None
    ) -> Manifest:
        """What is in an order; from the catalog, else from those of its farmers that ask no ransom for it,
        for what their prices on chain come to, and within a budget if there is one."""
        if (known := await self._known_manifest(order)) is not None:
            return known
        return await self._fetch_manifest(await self.holders(order), watch, budget, at_any_price=False)

    async def plan(
        self,
        order: OrderState,
        *,
        only: Sequence[bytes] = (),
        budget: Budget | None = None,
        at_any_price: bool = False,
        watch: Listener = ignore_progress,
    ) -> DownloadPlan:
        """Look at the order and its farmers. At any price those that ask a ransom are read from too, where
        the others are not enough. Its manifest may have to be paid for already: within the budget, if there
        is one.

        Raises UnknownOrder for a path that the order has not, and what reading the manifest raises.
        """
        holders = await self.holders(order)
        manifest = await self._known_manifest(order)
        if manifest is None:
            manifest = await self._fetch_manifest(holders, watch, budget, at_any_price=at_any_price)
        wanted = {entry.path for entry in chosen(manifest.entries, only) if entry.kind is Kind.FILE}
        files = [one for one in manifest.files_with_offsets() if one[0].path in wanted]
        return DownloadPlan(
            holders=holders,
            manifest=manifest,
            only=tuple(only),
            cost=estimate_read_cost(
                order.geometry,
                blocks_of(order.geometry, files),
                holders.prices(at_any_price=at_any_price),
            ),
            at_any_price=at_any_price,
            paid=self._paid.get(order.id, 0),
        )

    async def run(
        self,
        plan: DownloadPlan,
        target: Path,
        *,
        overwrite: bool = False,
        max_price: int | None = None,
        watch: Listener = ignore_progress,
    ) -> Restored:
        """Restore what was planned into a directory; see `restore.restore`.

        Raises OverBudget rather than pay more than `max_price` base units for reading, and NotEnoughMoney
        when the vault is too small for what it will cost.
        """
        budget = Budget(max_price, hint=PAY_MORE, unit=self.market.unit)
        await self._check_vault(plan.cost.expected)
        # Anyone who lied while the plan was made is not paid again.
        records = await self.executors.in_database(self.reputations.records)
        holders = replace(plan.holders, records=records)
        reader = await self._open(holders, watch, budget, at_any_price=plan.at_any_price)
        with Target(target, replace=overwrite) as opened:
            async with self.diagnose(plan.order):
                restored = await restore(
                    reader, plan.manifest, opened, only=plan.only, executors=self.executors, watch=watch
                )
        worked = [source.farmer for source in reader.sources if source.reads and not source.failure]
        self.notes.add(lambda: self.reputations.note_successes(worked))
        if denied := {source.farmer for source in reader.sources if source.reads and source.is_denied}:
            named = ", ".join(f"farmer {farmer}" for farmer in sorted(denied))
            self.notes.said[f"The others were not enough: also read from {named}, on your deny list."] = None
        return replace(restored, paid=plan.paid + budget.spent)

    async def rebuilder(self, order: OrderState, watch: Listener = ignore_progress) -> SlotRebuilder:
        """For making slots of an order again, out of those whose farmers ask no ransom, and for no more than
        a download of the whole order may cost."""
        holders = await self.holders(order)
        geometry = order.geometry
        blocks = geometry.blocks_of(0, geometry.capacity_bytes)
        at_most = estimate_read_cost(geometry, blocks, holders.prices(at_any_price=False)).at_most
        budget = Budget(at_most, within=self._rebuilding, hint=LIARS_LAST, unit=self.market.unit)
        payments = self.directory.payments.within(budget)
        sources = holders.sources(partial(self._peer, payments), at_any_price=False)
        return SlotRebuilder(
            holders.order,
            sources,
            self.policy,
            self.executors,
            only_complaints(watch),
            unit=self.market.unit,
        )

    async def reader(
        self, order: OrderState, watch: Listener = ignore_progress, *, budget: Budget | None = None
    ) -> OrderReader:
        """An order opened for reading at any offset, from those who keep its slots now and ask no ransom,
        within a budget if there is one."""
        return await self._open(await self.holders(order), watch, budget, at_any_price=False)

    async def pack_bytes(
        self, order: OrderState, watch: Listener = ignore_progress, *, budget: Budget | None = None
    ) -> PackBytes:
        """A pack opened for reading, from those who keep its slots now and ask no ransom; for what their
        prices on chain come to, and within a budget if there is one. Raises the errors of the chain."""
        holders = await self.holders(order)
        if await self.epoch() >= order.end:
            watch = without_failures(watch)
        spending = Budget(0, within=budget, hint=LIARS_LAST, unit=self.market.unit)
        payments = self.directory.payments.within(spending)
        return PackBytes(
            holders.order,
            holders.sources(partial(self._peer, payments), at_any_price=False),
            prices=holders.prices(at_any_price=False),
            spending=spending,
            policy=self.policy,
            executors=self.executors,
            watch=watch,
            diagnose=self.diagnose,
            unit=self.market.unit,
        )

    async def _known_manifest(self, order: OrderState) -> Manifest | None:
        if self._manifest is not None and self._manifest[0] == order.id:
            return self._manifest[1]
        known = await self.executors.in_database(self.catalog.manifest, order.id)
        if known is not None:
            self._manifest = order.id, known
        return known

    async def _fetch_manifest(
        self, holders: Holders, watch: Listener, budget: Budget | None, *, at_any_price: bool
    ) -> Manifest:
        """Unless any price was agreed to it may cost what a download of it may, and no more."""
        order = holders.order
        prices = holders.prices(at_any_price=at_any_price)
        spending = Budget(None if at_any_price else 0, within=budget, hint=LIARS_LAST, unit=self.market.unit)

        def allow(blocks: Iterable[int]) -> None:
            if spending.limit is not None:
                spending.limit += estimate_read_cost(order.geometry, blocks, prices).at_most

        watch(Step(what="Fetching the list of files"))
        try:
            async with self.diagnose(order):
                try:
                    reader = await self._open(holders, watch, spending, at_any_price=at_any_price)
                    manifest, stored = await fetch_manifest(reader, allow)
                except Unopened:
                    if not await self.keys.learn(order):
                        raise
                    reader = await self._open(holders, watch, spending, at_any_price=at_any_price)
                    manifest, stored = await fetch_manifest(reader, allow)
        finally:
            # What failed was paid for too.
            self._paid[order.id] = self._paid.get(order.id, 0) + spending.spent
        await self.executors.in_database(self.catalog.describe, order.id, manifest, stored)
        self._manifest = order.id, manifest
        return manifest

    async def _open(
        self, holders: Holders, watch: Listener, budget: Budget | None, *, at_any_price: bool
    ) -> OrderReader:
        order = holders.order
        if await self.epoch() >= order.end:
            watch = without_failures(watch)
        payments: ReadPayments = (
            self.directory.payments if budget is None else self.directory.payments.within(budget)
        )

        return OrderReader(
            order,
            await self.keys.key_of(order),
            holders.sources(partial(self._peer, payments), at_any_price=at_any_price),
            policy=self.policy,
            executors=self.executors,
            watch=watch,
            unit=self.market.unit,
        )

    def _peer(self, payments: ReadPayments, farmer: Farmer, most_per_gib: int) -> Peer:
        return self.directory.peer(farmer, payments, most_per_gib)

    async def _check_vault(self, expected: int) -> None:
        if not expected:
            return
        account = self.identity.account
        signed = await self.directory.payments.totals()
        signer = self.directory.payments.signer
        vault, unredeemed = await together(self.market.vault(account), self.market.unredeemed(signed, signer))
        check_vault(expected, vault, unredeemed, self.market.unit)
