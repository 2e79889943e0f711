"""The client as a library: one object that stores, lists and fetches for one renter.

    async with Renter.open(config) as renter:
        stored = await renter.put(await renter.quote(["photos"], Wish(epochs=30)))
        await renter.get("photos", Path("back"))

Decides how the parts are put together and who closes what. Leaves each part to its module, and all talking to
people to `cli`.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from os import PathLike
from pathlib import Path

from grange.chain import Chain, Farmer, Receipt, Sender, Timeouts, TransactionReverted, Withdrawal
from grange.chain.confirmations import default_confirmations
from grange.chain.orders import Closing, OrderState
from grange.errors import Told
from grange.peer import (
    FARMER_FAULTS,
    Budget,
    FarmerRefused,
    FarmerUnreachable,
    Peer,
    Purse,
    Signer,
    Tabs,
    dealing_with,
)
from grange.storage.home_lock import HomeLock
from grange.storage.optional_database import BUSY_SECONDS, FileBusy
from grange.transfer.aging import Freshness
from grange.transfer.directory import FarmerDirectory
from grange.transfer.events import Complaint, Listener, Step, ignore_progress, without_failures
from grange.transfer.push import MakePieces
from grange.transfer.registry import ChainRegistry
from grange.transfer.retry import RetryPolicy
from grange.transfer.sampling import HISTORY_EPOCHS, highest_egress
from grange.transfer.selection import UNKNOWN, Reputation
from grange.transfer.sources import Source
from grange.types import Address, Epoch, FarmerId, OrderId
from grange.units import format_tokens
from grange_client.errors import ClockWrong, NothingToTakeOut, UnknownOrder
from grange_client.extend import Extending
from grange_client.files.manifest import Manifest
from grange_client.files.restore import Restored, blocks_of, chosen, fetch_manifest, restore
from grange_client.files.scan import Kind
from grange_client.files.target import Target
from grange_client.keys.config import Config
from grange_client.keys.words import Identity
from grange_client.orders.catalog import Catalog, Known
from grange_client.orders.closing import close
from grange_client.orders.condition import condition
from grange_client.orders.diagnosis import diagnosed
from grange_client.orders.dropped import Aftercare
from grange_client.orders.fare import Fare, check_vault, fare
from grange_client.orders.lookup import find_order
from grange_client.orders.market import ChainMarket, Market
from grange_client.orders.outlook import Outlook
from grange_client.orders.placements import FOLDER_NAME, Placements
from grange_client.orders.plan import Funds, Wish, check_announced
from grange_client.orders.renewal import Extended, Renewal
from grange_client.orders.reputations import REPUTATIONS_NAME, Reputations
from grange_client.orders.store import Quote, Stored, Storing, watching_records
from grange_client.orders.sync import sync
from grange_client.reader import RANSOM_CODE, OrderReader
from grange_client.rebuild import SlotRebuilder

WORKER_THREADS = 3
PURSE_NAME = "purse.sqlite"
"""What was signed away for reads, beside the catalog."""
NOTHING_REQUESTED = "NothingRequested"
"""The market's refusal of a withdrawal that was made before."""
MAX_LISTED_PROBED = 512
"""Farmers that are asked how they are when they are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmerReport:
    """A farmer as the chain, its own endpoint and our memory show it.

    `silent` says why it does not answer.
    """

    farmer: Farmer
    proven: int
    free_bytes: int | None
    silent: str


class Renter:
    """One renter on one market. Made by `open` or, with parts of one's own, by `assembled`."""

    def __init__(
        self,
        *,
        identity: Identity,
        market: Market,
        catalog: Catalog,
        reputations: Reputations,
        directory: FarmerDirectory,
        executor: Executor,
        policy: RetryPolicy,
        placements: Placements,
        first_block: int,
        now: Callable[[], float],
        random: Callable[[int], bytes],
    ) -> None:
        self.identity = identity
        self.market = market
        self.catalog = catalog
        self.reputations = reputations
        self._directory = directory
        self._executor = executor
        self._policy = policy
        self._first_block = first_block
        self._signer = directory.signer
        self._read: tuple[OrderId, Manifest] | None = None
        """The manifest that was read last: `get` needs it twice, and it may be long."""
        self._purse = directory.purse
        self.placements = placements
        self._said: list[str] = []
        self._storing = Storing(
            placements=placements,
            identity=identity,
            market=market,
            directory=directory,
            policy=policy,
            executor=executor,
            now=now,
            random=random,
        )

        self._extending = Extending(
            account=identity.wallet.address,
            market=market,
            directory=directory,
            policy=policy,
            open_rebuilder=self._open_rebuilder,
            funds=self._storing.funds,
            placements=placements,
        )
        self._aftercare = Aftercare(
            market=market, catalog=catalog, placements=placements, funds=self._storing.funds
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: Config,
        *,
        policy: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> AsyncIterator["Renter"]:
        """Connect to the chain and open the catalog. Raises the errors of the chain.

        `on_wait` is told when another command of this home is spending, and ours waits for it.
        """
        network = config.network
        async with Chain.connect(
            network.rpc,
            network.market,
            timeouts=timeouts,
            expected_chain_id=network.chain_id,
            expected_genesis=config.expected_genesis,
        ) as chain:
            lock = HomeLock.in_home(config.home, on_wait=on_wait)
            market = ChainMarket(chain, Sender(chain, config.identity.wallet, lock=lock))
            async with cls.assembled(
                identity=config.identity,
                market=market,
                catalog_path=config.catalog_path,
                policy=policy or RetryPolicy(),
                first_block=network.first_block,
            ) as renter:
                yield renter

    @classmethod
    @asynccontextmanager
    async def assembled(
        cls,
        *,
        identity: Identity,
        market: Market,
        catalog_path: Path,
        policy: RetryPolicy,
        freshness: Freshness | None = None,
        first_block: int = 0,
        busy_seconds: float = BUSY_SECONDS,
        now: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> AsyncIterator["Renter"]:
        """A renter over any market."""
        with (
            Reputations.open(
                catalog_path.with_name(REPUTATIONS_NAME), domain=market.domain, busy_seconds=busy_seconds
            ) as reputations,
            Catalog.open(
                catalog_path,
                domain=market.domain,
                renter=identity.wallet.address,
                reputations=reputations,
                busy_seconds=busy_seconds,
            ) as catalog,
            Tabs.open(
                catalog_path.with_name(PURSE_NAME),
                domain=market.domain,
                payer=identity.wallet.address,
                busy_seconds=busy_seconds,
            ) as tabs,
            ThreadPoolExecutor(WORKER_THREADS, thread_name_prefix="grange") as executor,
        ):
            signer = Signer(
                domain=market.domain, wallet=identity.wallet, timeouts=policy.timeouts, now=now, random=random
            )
            purse = Purse(domain=market.domain, wallet=identity.wallet, tabs=tabs)
            async with FarmerDirectory.open(
                ChainRegistry(market), signer, purse, policy=policy, freshness=freshness
            ) as directory:
                yield cls(
                    identity=identity,
                    market=market,
                    catalog=catalog,
                    reputations=reputations,
                    placements=Placements(
                        catalog_path.with_name(FOLDER_NAME),
                        domain=market.domain,
                        renter=identity.wallet.address,
                    ),
                    directory=directory,
                    executor=executor,
                    policy=policy,
                    first_block=first_block,
                    now=now,
                    random=random,
                )

    @property
    def address(self) -> Address:
        """The account that pays and signs."""
        return self.identity.wallet.address

    def notices(self) -> list[str]:
        """What the person should know: of files that were damaged or are not written, and of orders that the
        chain dropped."""
        found = (
            *self.catalog.notices(),
            *self.reputations.notices(),
            *self._purse.tabs.notices(),
            *self._said,
        )
        return list(dict.fromkeys(found))

    # Storing.

    async def quote(
        self, paths: Iterable[str | PathLike[str]], wish: Wish, watch: Listener = ignore_progress
    ) -> Quote:
        """What storing these paths would take and cost; see `store.Storing.quote`. Raises HomeForgetful."""
        self._check_remembers()
        watch = watching_records(watch, self._note)
        async with self._diagnosed():
            return await self._storing.quote(paths, wish, await self._records(), watch)

    @property
    def default_confirmations(self) -> int:
        """How many blocks an order is to be buried under on this chain, unless somebody says otherwise."""
        return default_confirmations(self.market.domain.chain_id)

    async def put(
        self, quote: Quote, watch: Listener = ignore_progress, *, confirmations: int | None = None
    ) -> Stored:
        """Store what was quoted; see `store.Storing.put`. Raises HomeForgetful."""
        self._check_remembers()

        def note(order: OrderState) -> None:
            self._remember(lambda: self.catalog.add(order, quote.manifest, quote.stored_manifest))

        async with self._diagnosed():
            stored = await self._storing.put(
                quote,
                watching_records(watch, self._note),
                confirmations=self.default_confirmations if confirmations is None else confirmations,
                on_placed=note,
            )
        self._remember(lambda: self.catalog.add(stored.order, stored.manifest, stored.stored_manifest))
        self._note_agreed(stored.order, [chosen.farmer for chosen in quote.choice.ranked])
        # Taking something is easy: what counts as a success is to prove it, or to give it back.
        self._remember(lambda: self.reputations.forgive_failures(slot.farmer for slot in stored.order.slots))
        return stored

    # Keeping on.

    async def renewal(
        self, order: OrderState, epochs: int | None, watch: Listener = ignore_progress
    ) -> Renewal:
        """What extending an order by so many epochs, at least, would take; see `extend.Extending.quote`.

        Raises HomeForgetful.
        """
        self._check_remembers()
        order, _ = await self._keepers(order)
        watch = watching_records(watch, self._note)
        async with self._diagnosed():
            return await self._extending.quote(order, epochs, await self._records(), watch)

    async def extend(
        self, renewal: Renewal, watch: Listener = ignore_progress, *, confirmations: int | None = None
    ) -> Extended:
        """Extend what was quoted; see `extend.Extending.extend`. Raises HomeForgetful."""
        self._check_remembers()

        def note(order: OrderState) -> None:
            self._remember(lambda: self.catalog.extend(order))

        async with self._diagnosed():
            extended = await self._extending.extend(
                renewal,
                watching_records(watch, self._note),
                confirmations=self.default_confirmations if confirmations is None else confirmations,
                on_placed=note,
            )
        self._remember(lambda: self.catalog.extend(extended.order))
        self._note_agreed(extended.order, [one.farmer for one in (*renewal.keepers, *renewal.spares)])
        return extended

    async def _open_rebuilder(self, order: OrderState) -> MakePieces:
        key = self.identity.secret.order_key(order.sealed_as)
        return SlotRebuilder(await self.reader(order), key, self._executor).pieces

    # Looking.

    async def orders(self, watch: Listener = ignore_progress) -> list[Known]:
        """All orders of this renter, newest first; names of those that cannot be read now are None."""
        await self._synced(watch)
        if not self.catalog.orders() and not self.catalog.cursor(self._first_block).anchors:
            # Reading it found that it was damaged: it is empty now, and the chain fills it again.
            await self._synced(watch)
        epoch = (await self.market.head()).epoch
        for known in self.catalog.orders():
            if known.name is None and known.order.end > epoch:
                try:
                    await self.manifest(known.order, watch)
                except ClockWrong:
                    raise
                except Told:
                    continue
        return self.catalog.orders()

    async def find(self, wanted: str, watch: Listener = ignore_progress) -> Known:
        """The newest order of this name, or the one whose id begins so; see `lookup.find_order`."""
        orders = await self.orders(watch)
        return find_order(wanted, orders, await self.missing())

    async def missing(self) -> list[Known]:
        """Orders that the chain has shown before and, when it was last read, did not show any more."""
        return self.catalog.missing((await self.market.head()).epoch)

    async def condition(self, order: OrderState) -> Outlook:
        """How an order is, and how likely it is lost before it ends; see `condition.condition`."""
        return await condition(self.market, order)

    async def manifest(
        self, order: OrderState, watch: Listener = ignore_progress, *, budget: Budget | None = None
    ) -> Manifest:
        """What is in an order; from the catalog, else from its farmers: without a budget only from those that
        ask no ransom for it, with one at any price within it."""
        if self._read is not None and self._read[0] == order.id:
            return self._read[1]
        known = self.catalog.manifest(order.id)
        if known is not None:
            self._read = order.id, known
            return known
        watch(Step(what="Fetching the contents page"))
        async with self._diagnosed(order):
            purse = None if budget is None else self._purse.within(budget)
            reader = await self.reader(order, watch, purse, at_any_price=budget is not None)
            manifest, stored = await fetch_manifest(reader)
        self.catalog.describe(order.id, manifest, stored)
        self._read = order.id, manifest
        return manifest

    async def farmers(self) -> list[FarmerReport]:
        """Everybody who is registered, and how they are."""
        registered = await self._directory.registered()
        farmers = [*registered.farmers.values()]
        found = await self._directory.probe(farmers[:MAX_LISTED_PROBED])
        free = {candidate.farmer.id: candidate.free_bytes for candidate in found.candidates}
        return [
            FarmerReport(
                farmer=farmer,
                proven=len(registered.proven.get(farmer.id, ())),
                free_bytes=free.get(farmer.id),
                silent=found.silent.get(farmer.id, ""),
            )
            for farmer in farmers
        ]

    async def funds(self) -> Funds:
        """What there is to pay with."""
        return await self._storing.funds()

    # Money.

    async def deposit(self, amount: int) -> Receipt:
        """Move base units from the wallet into the vault."""
        return await self.market.deposit(amount)

    async def request_withdrawal(self, amount: int) -> Withdrawal:
        """Announce a withdrawal, in base units; returns what was announced.

        It waits so that farmers can redeem before what this renter promised them.
        """
        # Out of the receipt: to announce it again, because it can't be read now, would begin the wait again.
        args = (await self.market.request_withdrawal(amount)).event("WithdrawalRequested").args
        return Withdrawal(amount=args["amount"], ready_epoch=Epoch(args["ready_epoch"]))

    async def withdraw(self) -> Receipt:
        """Move what was announced from the vault into the wallet. Raises NothingToTakeOut."""
        announced = await self.market.withdrawal(self.identity.wallet.address)
        check_announced(announced, await self.market.clock())
        try:
            return await self.market.withdraw()
        except TransactionReverted as error:
            if error.name != NOTHING_REQUESTED:
                raise
            raise NothingToTakeOut(
                "What was announced has been taken out already, by another command with these words.",
                means="It is in the wallet: they all have the same.",
                todo="`grange balance` shows it.",
            ) from error

    async def close(self, order: OrderState, watch: Listener = ignore_progress) -> Closing:
        """End an order that is over: what was not proven comes back to the vault, with compensation.

        Of one that was closed before, by whomever, what came back then. Raises OrderGoesOn.
        """
        known = self.catalog.closing(order.id)
        if known is not None:
            return known
        closing = await close(self.market, order)
        if closing is not None:
            self._remember(lambda: self.catalog.close(closing))
            return closing
        await self._synced(watch)
        known = self.catalog.closing(order.id)
        if known is None:
            raise UnknownOrder(
                f"The market does not have order {order.id.hex()[:8]} any more, nor a record of its closing.",
                means="A reorganization of the chain may just have removed it.",
                todo="`grange ls` shows what there is.",
            )
        return known

    # Fetching.

    async def get(
        self,
        order: OrderState,
        target: Path,
        *,
        only: Sequence[bytes] = (),
        overwrite: bool = False,
        max_price: int | None = None,
        at_any_price: bool = False,
        watch: Listener = ignore_progress,
    ) -> Restored:
        """Restore an order, or the paths in `only`, into a directory; see `restore.restore`.

        Raises OverBudget rather than pay more than `max_price` base units for reading, and NotEnoughMoney
        when the vault is too small for what it will cost. Farmers that ask a ransom are asked only with
        `at_any_price`.
        """
        watch = watching_records(watch, self._note)
        budget = Budget(max_price)
        manifest = await self.manifest(order, watch, budget=budget if at_any_price else None)
        fare = await self.fare(order, only=only, at_any_price=at_any_price, watch=watch)
        await self._check_vault(fare.expected)
        reader = await self.reader(order, watch, self._purse.within(budget), at_any_price=at_any_price)
        with Target(target, replace=overwrite) as opened:
            async with self._diagnosed(order):
                restored = await restore(
                    reader,
                    manifest,
                    opened,
                    only=only,
                    executor=self._executor,
                    watch=watch,
                )
        worked = [source.farmer for source in reader.sources if source.reads and not source.failure]
        self._remember(lambda: self.reputations.note_successes(worked))
        return replace(restored, paid=budget.spent)

    async def fare(
        self,
        order: OrderState,
        *,
        only: Sequence[bytes] = (),
        at_any_price: bool = False,
        watch: Listener = ignore_progress,
    ) -> Fare:
        """What getting an order, or the paths in `only`, costs, if nothing of it is there yet."""
        manifest = await self.manifest(order, watch)
        wanted = {entry.path for entry in chosen(manifest.entries, only) if entry.kind is Kind.FILE}
        files = [one for one in manifest.files_with_offsets() if one[0].path in wanted]
        _, keepers = await self._keepers(order)
        dear = set(await self._asking_a_ransom(order, keepers))
        if at_any_price and order.geometry.n - len(dear) < order.geometry.k:
            dear = set()
        prices = [
            keeper.offer.egress_price_per_gib if keeper and slot not in dear else None
            for slot, keeper in enumerate(keepers)
        ]
        return fare(order.geometry, blocks_of(order.geometry, files), prices)

    async def reader(
        self,
        order: OrderState,
        watch: Listener = ignore_progress,
        purse: Purse | None = None,
        *,
        at_any_price: bool = False,
    ) -> OrderReader:
        """An order opened for reading at any offset, from those who keep its slots by now. Those of them that
        ask a ransom are asked only at any price, and then where the others are not enough."""
        order, keepers = await self._keepers(order)
        dear = await self._asking_a_ransom(order, keepers)
        if (await self.market.head()).epoch >= order.end:
            watch = without_failures(watch)
        return OrderReader(
            order,
            self.identity.secret.order_key(order.sealed_as),
            [
                self._source(order, slot, keeper, purse or self._purse, dear.get(slot), at_any_price)
                for slot, keeper in enumerate(keepers)
            ],
            policy=self._policy,
            executor=self._executor,
            watch=watch,
        )

    def _source(  # noqa: PLR0917
        self,
        order: OrderState,
        slot: int,
        keeper: Farmer | None,
        purse: Purse,
        ransom: FarmerRefused | None,
        at_any_price: bool,
    ) -> Source:
        """A slot as it can be read; one whose farmer asks a ransom only at any price."""
        placed = order.slots[slot]
        peer = self._peer_or_none(keeper, purse)
        failure: Told | None = None
        if peer is None:
            failure = FarmerUnreachable("It has no endpoint that could be asked.")
        elif ransom is not None and not at_any_price:
            peer, failure = None, ransom
        return Source(
            slot=slot,
            farmer=placed.farmer,
            root=placed.root,
            open_peer=None if peer is None else lambda: peer,
            is_dear=ransom is not None,
            failure=failure,
        )

    async def _asking_a_ransom(
        self, order: OrderState, keepers: Sequence[Farmer | None]
    ) -> dict[int, FarmerRefused]:
        """Slots whose farmers ask for reading what none is chosen at, and more than when they took it."""
        prices = {
            slot: keeper.offer.egress_price_per_gib
            for slot, keeper in enumerate(keepers)
            if keeper is not None
        }
        known = self.reputations.records()
        agreed = {slot: known.get(order.slots[slot].farmer, UNKNOWN).agreed or 0 for slot in prices}
        if all(price <= agreed[slot] for slot, price in prices.items()):
            return {}
        registered = await self._directory.registered()
        proving = registered.proving(self.market.parameters.max_misses)
        most = highest_egress([*registered.farmers.values()], proving, order.end - order.start)
        return {
            slot: FarmerRefused(
                f"It asks {format_tokens(price)} tokens for reading a GiB, far more than others.",
                status=HTTPStatus.PAYMENT_REQUIRED,
                code=RANSOM_CODE,
            )
            for slot, price in prices.items()
            if price > max(most, agreed[slot])
        }

    async def _keepers(self, order: OrderState) -> tuple[OrderState, list[Farmer | None]]:
        """The order as repaired, and who keeps each slot."""
        order = order.refilled(await self.market.tenures(order.id, order.block))
        farmers = await self._directory.by_id(slot.farmer for slot in order.slots)
        return order, [farmers.get(slot.farmer) for slot in order.slots]

    async def _check_vault(self, expected: int) -> None:
        if not expected:
            return
        signed = self._purse.tabs.totals()
        redeemed = await asyncio.gather(*(self.market.redeemed(one, self.address) for one in signed))
        vault = await self.market.vault(self.address)
        check_vault(expected, vault, signed, dict(zip(signed, redeemed, strict=True)))

    def _check_remembers(self) -> None:
        self.catalog.check_remembers()
        self.placements.check_remembers()

    def _note_agreed(self, order: OrderState, asked: Iterable[Farmer]) -> None:
        """What those that got a slot ask for reading: a ransom later is measured by it."""
        ids = {slot.farmer for slot in order.slots}
        prices = {one.id: one.offer.egress_price_per_gib for one in asked if one.id in ids}
        self._remember(lambda: self.reputations.note_agreed(prices))

    def _note(self, event: Complaint) -> None:
        self._remember(lambda: self.reputations.note(event))

    def _remember(self, note: Callable[[], None]) -> None:
        """Note what is done and can't fail any more; a file that is in use is said, and is no reason to fail.

        Orders are found on the chain all the same. "Nothing was changed" would have people pay twice.
        """
        try:
            note()
        except FileBusy as error:
            self._said.append(f"{error.what} What was done is done, but was not noted there.")

    def _diagnosed(self, order: OrderState | None = None) -> AbstractAsyncContextManager[None]:
        return diagnosed(self.market, self._signer.clocks, self._signer.now, order)

    def _peer_or_none(self, farmer: Farmer | None, purse: Purse) -> Peer | None:
        if farmer is None:
            return None
        try:
            with dealing_with(farmer.id):
                return self._directory.peer(farmer, purse)
        except FARMER_FAULTS:
            return None

    async def _synced(self, watch: Listener) -> None:
        watch(Step(what="Reading the chain"))
        for oddity in await sync(self.market, self.catalog, first_block=self._first_block):
            watch(Step(what=oddity))
        self._said += await self._aftercare.look(watch)

    async def _records(self) -> dict[FarmerId, Reputation]:
        """What is remembered of farmers, with the orders of ours that they may have proven lately."""
        epoch = (await self.market.head()).epoch
        known, kept = self.reputations.records(), self.catalog.kept_by_farmer(epoch - HISTORY_EPOCHS)
        return known | {one: replace(known.get(one, UNKNOWN), kept=terms) for one, terms in kept.items()}
