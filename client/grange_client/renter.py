"""The client as a library: one object that stores, lists and fetches for one renter.

    async with Renter.open(config) as renter:
        stored = await renter.put(await renter.quote(["photos"], StoreOptions(epochs=30)))
        pending = await renter.store(await renter.quote(["notes"], StoreOptions(epochs=30)))
        await renter.get("photos", Path("back"))

Decides how the parts are put together and who closes what. Leaves each part to its module, and all talking to
people to `cli`.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from grange.allow_lists import FARMERS, ListFiles
from grange.chain import (
    AnswerUnreadable,
    Farmer,
    Receipt,
    RpcError,
    Timeouts,
    TransactionReverted,
    Withdrawal,
)
from grange.chain.confirmations import default_confirmations
from grange.chain.endpoint_notes import ENDPOINTS_NAME, EndpointNotes
from grange.chain.fee_settings import FeeSettings, load_fee_settings
from grange.chain.gas_value import GasValue, GasValuer
from grange.chain.market_check import open_market
from grange.chain.market_pins import read_pins, write_pins
from grange.chain.orders import Closing, OrderState
from grange.chain.sender import burying_sender
from grange.errors import GrangeError, UserError
from grange.executors import Executors
from grange.listed_names import ListedNames
from grange.peer import (
    Budget,
    PaymentChannels,
    ReadPayments,
    Signer,
    TransferLimits,
)
from grange.storage.connection import BUSY_SECONDS
from grange.storage.home_lock import HomeLock
from grange.transfer.aging import Freshness
from grange.transfer.directory import FarmerDirectory
from grange.transfer.events import Complaint, Listener, Step, ignore_progress
from grange.transfer.listed import is_denied, is_friend, name_of, refusal_of
from grange.transfer.retry import RetryPolicy
from grange.transfer.selection import UNKNOWN, Reputation
from grange.types import Address, Epoch, FarmerId, OrderId
from grange_client.delegates import Delegates
from grange_client.downloads.downloads import DownloadPlan, Downloads
from grange_client.downloads.reader import OrderReader
from grange_client.downloads.restore import Restored
from grange_client.drive.catalog import Catalog as DriveCatalog
from grange_client.drive.keys import DriveKeys
from grange_client.errors import PAY_MORE, ClockWrong, NothingToTakeOut, UnknownOrder, Unopened
from grange_client.extension import Extensions
from grange_client.files.manifest import Manifest
from grange_client.keys.config import Config, pins_path
from grange_client.keys.recovery_phrase import Identity
from grange_client.keys.wallet_account import require_own_account, require_wallets_word, speaks_for_wallet
from grange_client.mandates import Mandates
from grange_client.orders.catalog import Catalog, Known
from grange_client.orders.cautions import stored_already
from grange_client.orders.closing import close
from grange_client.orders.diagnosis import diagnosed
from grange_client.orders.dropped import Aftercare
from grange_client.orders.durability import OrderHealth
from grange_client.orders.extension_quote import Extended, ExtensionQuote
from grange_client.orders.lookup import find_order, unread_notice, with_id
from grange_client.orders.market import RenterMarket
from grange_client.orders.notes import Notes
from grange_client.orders.order_health import read_health
from grange_client.orders.order_keys import OrderKeys
from grange_client.orders.order_storing import OrderStoring
from grange_client.orders.pending import PendingOrder, PendingOrders, Stored
from grange_client.orders.placements import FOLDER_NAME, Placements
from grange_client.orders.placing import Acknowledge, PlaceOptions
from grange_client.orders.plan import Funds, StoreOptions, check_announced
from grange_client.orders.reputations import REPUTATIONS_NAME, Reputations
from grange_client.orders.store import Quote, Storing, watching_records
from grange_client.orders.sync import Synced, gap_notices, sync_with_all
from grange_client.orders.tenure_check import TenureCheck
from grange_client.packs.drive_secrets import whose_drive
from grange_client.packs.placing import PackPlacing
from grange_client.packs.reading import PackReading
from grange_client.packs.search import PackSearch
from grange_client.packs.spool import Spool

CHANNELS_NAME = "payment-channels.sqlite"
"""What was signed away for reads, beside the catalog."""
NOTHING_REQUESTED = "NothingRequested"
"""The market's refusal of a withdrawal that was made before."""
KEPT_TERM_EPOCHS = 16
"""So long after its end an order of ours tells that its farmers are known to us."""
MAX_LISTED_PROBED = 512
"""Farmers that are asked how they are when they are listed."""
OF_ONE_ORDER = (UserError, RpcError, AnswerUnreadable)
"""Errors that speak of an order, or of what an endpoint says of it, and not of the way to the endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmerReport:
    """A farmer as the chain, its own endpoint and our memory show it.

    `silent` says why it does not answer, `distrust` why it gets nothing of ours, `name` how the person calls
    it, and `is_friend` that it is on the allow list.
    """

    farmer: Farmer
    free_bytes: int | None
    silent: str
    distrust: str = ""
    name: str = ""
    is_friend: bool = False


class Renter:
    """One renter on one market. Made by `open` or, with parts of one's own, by `assembled`."""

    def __init__(
        self,
        *,
        identity: Identity,
        market: RenterMarket,
        catalog: Catalog,
        reputations: Reputations,
        directory: FarmerDirectory,
        executors: Executors,
        policy: RetryPolicy,
        placements: Placements,
        home: Path,
        first_block: int,
        now: Callable[[], float],
        random: Callable[[int], bytes],
        fees: FeeSettings,
    ) -> None:
        self.identity = identity
        self.market = market
        self.catalog = catalog
        self.reputations = reputations
        self._directory = directory
        self._policy = policy
        self._first_block = first_block
        self._valuer = GasValuer(market.rpc, fees, token_units=market.unit.one)
        self._signer = directory.signer
        self._payments = directory.payments
        self.placements = placements
        self.home = home
        """Where the catalog and all else is that it remembers."""
        self.pending = PendingOrders(placements)
        self._unread: dict[OrderId, GrangeError] = {}
        """Why names could not be read when orders were listed last."""
        self._synced: Synced | None = None
        self.executors = executors
        self.notes = Notes(executors)
        self._tenures = TenureCheck(market, catalog, executors, now, directory)
        self._order_storing = OrderStoring(
            placements=placements,
            pending=self.pending,
            identity=identity,
            market=market,
            directory=directory,
            policy=policy,
            executors=executors,
            now=now,
            random=random,
        )
        self._storing = Storing(orders=self._order_storing)
        self._keys = OrderKeys(identity=identity, market=market, catalog=catalog, executors=executors)
        self._downloads = Downloads(
            identity=identity,
            keys=self._keys,
            market=market,
            tenures=self._tenures,
            directory=directory,
            catalog=catalog,
            reputations=reputations,
            policy=policy,
            executors=executors,
            notes=self.notes,
            diagnose=self._diagnosed,
            epoch=self._epoch,
        )
        self._extensions = Extensions(
            account=identity.account,
            sender=identity.wallet.address,
            market=market,
            tenures=self._tenures,
            directory=directory,
            policy=policy,
            open_rebuilder=self._downloads.rebuilder,
            funds=self._order_storing.funds,
            placements=placements,
        )
        self._aftercare = Aftercare(
            market=market,
            catalog=catalog,
            tenures=self._tenures,
            placements=placements,
            funds=self._order_storing.funds,
            executors=executors,
            notes=self.notes,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: Config,
        *,
        policy: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        limits: TransferLimits | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> AsyncIterator["Renter"]:
        """Connect to the chain and open the catalog. Raises the errors of the chain,
        FeeSettingsInvalid, and MarketForged or OriginUnknown for a market that this home has not seen and
        Grange can't vouch for.

        `limits` hold for all that goes to farmers and comes from them. `on_wait` is told when another command
        of this home is spending, and ours waits for it.
        """
        network, fees = config.network, load_fee_settings(config.home)
        remembered = pins_path(config.home)
        pins = read_pins(remembered)
        async with open_market(
            network.rpc,
            network.market,
            pins=pins,
            chain_id=network.chain_id,
            genesis=config.expected_genesis,
            first_block=network.first_block,
            timeouts=timeouts,
            notes=EndpointNotes(config.home / ENDPOINTS_NAME),
            unit=network.unit,
        ) as chain:
            if chain.pins is not None and chain.pins != pins:
                write_pins(remembered, chain.pins)
            lock = HomeLock.in_home(config.home, on_wait=on_wait)
            market = RenterMarket(
                burying_sender(chain, config.identity.wallet, policy=fees.policy, lock=lock),
                account=config.identity.account,
            )
            async with cls.assembled(
                identity=config.identity,
                market=market,
                catalog_path=config.catalog_path,
                policy=policy or RetryPolicy(),
                limits=limits,
                first_block=network.first_block,
                fees=fees,
                as_wallet=await speaks_for_wallet(config.identity, market),
            ) as renter:
                yield renter

    @classmethod
    @asynccontextmanager
    async def assembled(
        cls,
        *,
        identity: Identity,
        market: RenterMarket,
        catalog_path: Path,
        policy: RetryPolicy,
        limits: TransferLimits | None = None,
        freshness: Freshness | None = None,
        first_block: int = 0,
        busy_seconds: float = BUSY_SECONDS,
        now: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes,
        fees: FeeSettings | None = None,
        as_wallet: bool = False,
    ) -> AsyncIterator["Renter"]:
        """A renter over any market. `as_wallet`: it asks and pays in the name of its contract wallet,
        which calls its signatures its own, and not as its delegate."""
        limits = limits or TransferLimits()
        policy = policy.within(limits)
        with (
            Reputations.open(
                catalog_path.with_name(REPUTATIONS_NAME),
                domain=market.domain,
                unit=market.unit,
                busy_seconds=busy_seconds,
            ) as reputations,
            Catalog.open(
                catalog_path,
                domain=market.domain,
                renter=identity.account,
                reputations=reputations,
                busy_seconds=busy_seconds,
            ) as catalog,
            PaymentChannels.open(
                catalog_path.with_name(CHANNELS_NAME),
                domain=market.domain,
                payer=identity.account if as_wallet else identity.wallet.address,
                busy_seconds=busy_seconds,
            ) as channels,
            Executors.open() as executors,
        ):
            signer = Signer(
                domain=market.domain,
                wallet=identity.wallet,
                timeouts=policy.timeouts,
                now=now,
                random=random,
                account=None if identity.is_account or as_wallet else identity.account,
                contract_wallet=identity.account if as_wallet else None,
            )
            payments = ReadPayments(
                domain=market.domain,
                wallet=identity.wallet,
                channels=channels,
                executors=executors,
                account=identity.account,
                is_of_wallet=as_wallet,
            )

            def known() -> set[FarmerId]:
                served = {farmer for farmer, record in reputations.records().items() if record.successes}
                return served | catalog.kept_by_farmer(0).keys()

            async def find_known() -> set[FarmerId]:
                return await executors.in_database(known)

            async with FarmerDirectory.open(
                market,
                signer,
                payments,
                policy=policy,
                freshness=freshness,
                known=find_known,
                lists=await executors.on_disk(ListFiles(folder=catalog_path.parent, of=FARMERS).read),
                limits=limits,
            ) as directory:
                renter = cls(
                    identity=identity,
                    market=market,
                    catalog=catalog,
                    reputations=reputations,
                    placements=Placements(
                        catalog_path.with_name(FOLDER_NAME),
                        domain=market.domain,
                        renter=identity.account,
                    ),
                    directory=directory,
                    executors=executors,
                    policy=policy,
                    home=catalog_path.parent,
                    first_block=first_block,
                    now=now,
                    random=random,
                    fees=fees or FeeSettings(),
                )
                async with renter.notes.settling(), renter.pending:
                    yield renter

    @property
    def address(self) -> Address:
        """The account that pays, and whose the orders are."""
        return self.identity.account

    @property
    def limits(self) -> TransferLimits:
        """How fast bytes go to farmers and come from them; they may be changed at any time."""
        return self._directory.limits

    @property
    def delegates(self) -> Delegates:
        """The keys that spend from this account's vault."""
        return Delegates(
            self.market,
            self.catalog,
            self.executors,
            identity=self.identity,
            first_block=self._first_block,
        )

    @property
    def mandates(self) -> Mandates:
        """This account's standing orders."""
        return Mandates(
            self.market,
            self.catalog,
            self.executors,
            identity=self.identity,
            first_block=self._first_block,
        )

    async def vault_warnings(self, *, spending: int = 0) -> list[str]:
        """Sentences on what the vault may be short of, beside what is about to be spent; see
        `Mandates.warnings`. Asks nothing where this home knows of no mandate."""
        if not await self.mandates.known():
            return []
        orders = [known.order for known in await self.orders()]
        return await self.mandates.warnings(orders, vault=(await self.funds()).vault, spending=spending)

    def notices(self) -> list[str]:
        """What the person should know: of files that were damaged or are not written, and of orders that the
        chain dropped."""
        found = (
            *self.catalog.notices(),
            *self.reputations.notices(),
            *self._payments.channels.notices(),
            *self.placements.notices,
            *self.notes.said,
            *self.market.rpc.reports,
            *unread_notice(self._unread),
            *gap_notices(self.unread_blocks),
        )
        return list(dict.fromkeys(found))

    @property
    def unread_blocks(self) -> tuple[tuple[int, int], ...]:
        """Ranges of blocks, both ends included, of which no endpoint gave the events when the chain was read
        last: orders that other computers or mandates placed there are not listed."""
        return () if self._synced is None else self._synced.gaps

    # Storing.

    async def gas_value(self) -> GasValue:
        """What gas costs now, and what that is worth if the home says what gas tokens are. Raises
        ChainError."""
        return await self._valuer.now()

    async def quote(
        self, paths: Iterable[str | PathLike[str]], options: StoreOptions, watch: Listener = ignore_progress
    ) -> Quote:
        """What storing these paths would take and cost; see `store.Storing.quote`. Raises HomeForgetful."""
        await self._check_remembers()
        watch = watching_records(watch, self._note)
        async with self.notes.settling(), self._diagnosed():
            quote = await self._storing.quote(paths, options, self._records, watch)
        orders = await self._list()
        again = stored_already(orders, quote.manifest.name, quote.start)
        return replace(quote, cautions=(*again, *quote.cautions))

    @property
    def default_confirmations(self) -> int:
        """How many blocks an order is to be buried under on this chain, unless somebody says otherwise."""
        return default_confirmations(self.market.domain.chain_id)

    async def put(
        self, quote: Quote, watch: Listener = ignore_progress, *, confirmations: int | None = None
    ) -> Stored:
        """Store what was quoted, and wait until it is placed; see `store.Storing.put`. Raises HomeForgetful,
        and QuoteUsed for a quote that was tried before.

        Cancelled before all farmers have signed, nothing is placed; later, the order may be on its way.
        """
        await self._check_remembers()
        quote.ticket.use()
        return await self._put(quote, watch, confirmations, None)

    async def store(
        self, quote: Quote, watch: Listener = ignore_progress, *, confirmations: int | None = None
    ) -> PendingOrder:
        """Store what was quoted, and wait until its farmers have signed; the transaction follows.

        What that says, and what it does not say yet: docs/renter.md. `watch` is told of what follows too.
        Raises like `put`, until they have signed.
        """

        await self._check_remembers()
        quote.ticket.use()

        def put(acknowledge: Acknowledge) -> Coroutine[Any, Any, Stored]:
            return self._put(quote, watch, confirmations, acknowledge)

        return await self.pending.begin(quote.order, quote.cost, put)

    async def _put(
        self, quote: Quote, watch: Listener, confirmations: int | None, acknowledge: Acknowledge | None
    ) -> Stored:
        async def note(order: OrderState) -> None:
            self.pending.note_mined(order.id)
            await self._keys.note_placed(order.sealed_as)
            await self.notes.take(lambda: self.catalog.add(order, quote.manifest, quote.stored_manifest))

        async with self.notes.settling(), self._diagnosed():
            stored = await self._storing.put(quote, self._options(watch, confirmations, note, acknowledge))
        self._tenures.note_placed(stored.order)
        self.notes.add(lambda: self.catalog.add(stored.order, stored.manifest, stored.stored_manifest))
        self._note_agreed(stored.order, [chosen.farmer for chosen in quote.choice.ranked])
        # Taking something is easy: what counts as a success is to prove it, or to give it back.
        self.notes.add(lambda: self.reputations.forgive_failures(slot.farmer for slot in stored.order.slots))
        await self.notes.settled()
        return stored

    # Packs of drives.

    @property
    def packs(self) -> PackPlacing:
        """Packs of drives as orders of this renter."""
        return PackPlacing(
            orders=self._order_storing,
            catalog=self.catalog,
            keys=self._keys,
            tenures=self._tenures,
            notes=self.notes,
            options=self._options,
            reputations_at=self._records,
            diagnosed=self._diagnosed,
            note_agreed=self._note_agreed,
            sync=self.sync,
        )

    @property
    def pack_search(self) -> PackSearch:
        """Which orders of this account are packs; of what the chain showed at the last `sync`."""
        return PackSearch(catalog=self.catalog, downloads=self._downloads, executors=self.executors)

    def read_packs(
        self,
        keys: DriveKeys,
        catalog: DriveCatalog,
        *,
        spool: Spool | None = None,
        budget: Budget | None = None,
        watch: Listener = ignore_progress,
    ) -> PackReading:
        """The packs of one drive, to be read in threads. The caller closes it, in the event loop."""
        return PackReading(
            keys=keys,
            catalog=catalog,
            downloads=self._downloads,
            spool=spool,
            budget=budget,
            watch=watching_records(watch, self._note),
        )

    async def sync(self, watch: Listener = ignore_progress) -> Synced:
        """Read what is new of this account's orders on the chain. Raises the errors of the chain."""
        await self._sync(watch)
        assert self._synced is not None
        return self._synced

    # Keeping on.

    async def quote_extension(
        self, order: OrderState, epochs: int | None, watch: Listener = ignore_progress
    ) -> ExtensionQuote:
        """What extending an order by so many epochs, at least, would take; see `extend.Extensions.quote`.

        Raises HomeForgetful.
        """
        await self._check_remembers()
        order = await self._downloads.as_kept(order)
        watch = watching_records(watch, self._note)
        async with self.notes.settling(), self._diagnosed():
            return await self._extensions.quote(order, epochs, self._records, watch)

    async def extend(
        self, quote: ExtensionQuote, watch: Listener = ignore_progress, *, confirmations: int | None = None
    ) -> Extended:
        """Extend what was quoted; see `extend.Extensions.extend`. Raises HomeForgetful."""
        await self._check_remembers()

        async def note(order: OrderState) -> None:
            self._tenures.note_placed(order)
            await self.notes.take(lambda: self.catalog.index.note(order))

        async with self.notes.settling(), self._diagnosed():
            extended = await self._extensions.extend(quote, self._options(watch, confirmations, note))
        self._tenures.note_placed(extended.order)
        self.notes.add(lambda: self.catalog.index.note(extended.order))
        self._note_agreed(extended.order, [one.farmer for one in (*quote.keepers, *quote.candidates)])
        await self.notes.settled()
        return extended

    # Looking.

    async def orders(self, watch: Listener = ignore_progress, *, budget: Budget | None = None) -> list[Known]:
        """All orders of this renter, newest first; names of those that cannot be read now are None, and
        `notices` says why. Reading names costs no more than the budget, if there is one."""
        await self._sync(watch)
        await self._read_names(await self._list(), watch, budget)
        return await self._list()

    async def find(
        self, wanted: str, watch: Listener = ignore_progress, *, budget: Budget | None = None
    ) -> Known:
        """The newest order of this name, or the one whose id begins so; see `lookup.find_order` and `orders`.
        Where an id is given, what other orders are called is neither read nor paid for."""
        await self._sync(watch)
        listed = await self._list()
        await self._read_names(with_id(wanted, listed) or listed, watch, budget)
        return find_order(wanted, await self._list(), await self.missing())

    async def _list(self) -> list[Known]:
        return await self._own(await self.executors.in_database(self.catalog.orders))

    async def _own(self, orders: Sequence[Known]) -> list[Known]:
        head = 0 if self._synced is None else self._synced.head.number
        return await self._keys.own(orders, head)

    async def _read_names(self, listed: Sequence[Known], watch: Listener, budget: Budget | None) -> None:
        """One that cannot be read keeps no other from being listed, and got."""
        epoch = await self._epoch()
        unread = [
            one.order for one in listed if one.name is None and one.drive is None and one.order.end > epoch
        ]
        self._unread.clear()
        if unread:
            # Before anything is under way: a person may be asked.
            self.identity.unlock()
        for order in await self._known_tenures(unread):
            try:
                await self.manifest(order, watch, budget=budget)
            except ClockWrong:
                raise
            except OF_ONE_ORDER as error:
                if not (isinstance(error, Unopened) and await self._is_pack(order, watch, budget)):
                    self._unread[order.id] = error

    async def _is_pack(self, order: OrderState, watch: Listener, budget: Budget | None) -> bool:
        """Whether an order that has no manifest is a pack of one of our drives; it is noted then."""
        whose = whose_drive(self.identity)
        with suppress(*OF_ONE_ORDER):
            return await self.pack_search.drive_of(order, whose, watch, budget=budget) is not None
        return False

    async def _known_tenures(self, orders: Sequence[OrderState]) -> list[OrderState]:
        """Orders that were just listed, as they are kept now; not those the endpoint does not speak of.

        Asked together, so that the questions about all of them, and about their farmers, go in few requests.
        """
        found = await asyncio.gather(*map(self._tenures.known_of, orders), return_exceptions=True)
        for order, one in zip(orders, found, strict=True):
            if isinstance(one, OF_ONE_ORDER):
                self._unread[order.id] = one
            elif isinstance(one, BaseException):
                raise one
        known = [one for one in found if isinstance(one, OrderState)]
        with suppress(*OF_ONE_ORDER):
            await self._directory.by_id(slot.farmer for order in known for slot in order.slots)
        return known

    async def missing(self) -> list[Known]:
        """Orders that the chain has shown before and, when it was last read, did not show any more."""
        return await self._own(await self.executors.in_database(self.catalog.missing, await self._epoch()))

    async def farmers_of(self, order: OrderState) -> dict[FarmerId, Farmer]:
        """Those that keep an order, without any that the endpoint does not know."""
        return await self._directory.by_id(slot.farmer for slot in order.slots)

    async def distrusted(self, farmers: Iterable[Farmer]) -> dict[FarmerId, str]:
        """Those of some farmers that get nothing of ours, and why."""
        known = await self.executors.in_database(self.reputations.records)
        lists = self._directory.lists
        return {
            farmer.id: why
            for farmer in farmers
            if (why := refusal_of(lists, farmer) or known.get(farmer.id, UNKNOWN).distrust)
        }

    @property
    def names(self) -> ListedNames:
        """How the person calls farmers."""
        return self._directory.names

    async def order_health(self, order: OrderState) -> OrderHealth:
        """How an order is, and how likely it is lost before it ends; see `order_health`."""
        return await read_health(self.market, self._tenures, order)

    async def manifest(
        self, order: OrderState, watch: Listener = ignore_progress, *, budget: Budget | None = None
    ) -> Manifest:
        """What is in an order; see `downloads.Downloads.manifest`."""
        async with self.notes.settling():
            return await self._downloads.manifest(order, watching_records(watch, self._note), budget=budget)

    @property
    def paid_besides(self) -> int:
        """What was paid in this session for reads other than downloads, in base units: for manifests, also to
        show names in a list, and for what slots were rebuilt from."""
        return self._downloads.paid_besides

    async def registered(self) -> Collection[Farmer]:
        """Everybody who is registered, as the chain has them: nobody is asked. Raises the errors of the
        chain."""
        return (await self._directory.registered()).farmers.values()

    async def farmers(self) -> list[FarmerReport]:
        """Everybody who is registered, and how they are."""
        registered, lists = await self._directory.registered(), self._directory.lists
        farmers = [*registered.farmers.values()]
        asked = [farmer for farmer in farmers if not is_denied(lists, farmer)]
        found = await self._directory.probe(asked[:MAX_LISTED_PROBED])
        free = {candidate.farmer.id: candidate.free_bytes for candidate in found.candidates}
        distrusted = await self.distrusted(farmers)
        return [
            FarmerReport(
                farmer=farmer,
                free_bytes=free.get(farmer.id),
                silent=found.silent.get(farmer.id, ""),
                distrust=distrusted.get(farmer.id, ""),
                name=name_of(lists, farmer),
                is_friend=is_friend(lists, farmer),
            )
            for farmer in farmers
        ]

    async def funds(self) -> Funds:
        """What there is to pay with."""
        return await self._order_storing.funds()

    # Money.

    async def deposit(self, amount: int) -> Receipt:
        """Move base units from the wallet into the vault. Raises NotAccount in a delegate's home."""
        self._require_account()
        return await self.market.deposit(amount)

    async def request_withdrawal(self, amount: int) -> Withdrawal:
        """Announce a withdrawal, in base units; returns what was announced.

        It waits so that farmers can redeem before what this renter's vouchers say.
        """
        self._require_account()
        # Out of the receipt: to announce it again, because it can't be read now, would begin the wait again.
        args = (await self.market.request_withdrawal(amount)).event("WithdrawalRequested").args
        return Withdrawal(amount=args["amount"], ready_epoch=Epoch(args["ready_epoch"]))

    async def withdraw(self, to: Address | None = None) -> Receipt:
        """Move what was announced from the vault into the wallet, or to another account. Raises
        NothingToTakeOut."""
        self._require_account()
        announced = await self.market.withdrawal(self.identity.account)
        check_announced(announced, await self.market.clock(), self.market.unit)
        try:
            return await self.market.withdraw(to)
        except TransactionReverted as error:
            if error.name != NOTHING_REQUESTED:
                raise
            raise NothingToTakeOut(
                "What was announced has been taken out already, by another command of this renter.",
                detail="It is in the wallet: they all have the same.",
                hint="`grange balance` shows it.",
            ) from error

    def _require_account(self) -> None:
        require_own_account(self.identity, "it moves no money in or out of the account's vault")

    async def close(self, order: OrderState, watch: Listener = ignore_progress) -> Closing:
        """End an order that is over: what was not proven comes back to the vault, with compensation.

        Of one that was closed before, by whomever, what came back then. Raises OrderGoesOn.
        """
        known = await self.executors.in_database(self.catalog.closing, order.id)
        if known is not None:
            return known
        closing = await close(self.market, self._tenures, order)
        if closing is not None:
            await self.notes.take(lambda: self.catalog.index.note_closing(closing))
            return closing
        await self._sync(watch)
        known = await self.executors.in_database(self.catalog.closing, order.id)
        if known is None:
            raise UnknownOrder(
                f"The market does not have order {order.id.hex()[:8]} any more, nor a record of its closing.",
                detail="A reorganization of the chain may just have removed it.",
                hint="`grange orders ls` shows what there is.",
            )
        return known

    # Fetching.

    async def plan_get(
        self,
        order: OrderState,
        *,
        only: Sequence[bytes] = (),
        budget: Budget | None = None,
        at_any_price: bool = False,
        watch: Listener = ignore_progress,
    ) -> DownloadPlan:
        """What getting an order takes, or the paths in `only`; see `downloads.Downloads.plan`."""
        watch = watching_records(watch, self._note)
        if self._signer.contract_wallet is not None:
            await require_wallets_word(self.identity, self.market)
        async with self.notes.settling():
            return await self._downloads.plan(
                order, only=only, budget=budget, at_any_price=at_any_price, watch=watch
            )

    async def carry_out(
        self,
        plan: DownloadPlan,
        target: Path,
        *,
        overwrite: bool = False,
        max_price: int | None = None,
        watch: Listener = ignore_progress,
    ) -> Restored:
        """Restore what was planned into a directory; see `downloads.Downloads.run`."""
        watch = watching_records(watch, self._note)
        async with self.notes.settling():
            return await self._downloads.run(
                plan, target, overwrite=overwrite, max_price=max_price, watch=watch
            )

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
        """Plan it and carry it out at once, for `max_price` base units at most, with what its manifest has
        cost before. Farmers that ask a ransom are asked only with `at_any_price`."""
        budget = Budget(max_price, hint=PAY_MORE, unit=self.market.unit)
        plan = await self.plan_get(order, only=only, budget=budget, at_any_price=at_any_price, watch=watch)
        if max_price is not None:
            max_price = max(0, max_price - plan.paid)
        return await self.carry_out(plan, target, overwrite=overwrite, max_price=max_price, watch=watch)

    async def reader(
        self, order: OrderState, watch: Listener = ignore_progress, *, budget: Budget | None = None
    ) -> OrderReader:
        """An order opened for reading at any offset; see `downloads.Downloads.reader`."""
        return await self._downloads.reader(order, watching_records(watch, self._note), budget=budget)

    def _options(
        self,
        watch: Listener,
        confirmations: int | None,
        on_placed: Callable[[OrderState], Awaitable[None]],
        acknowledge: Acknowledge | None = None,
    ) -> PlaceOptions:
        return PlaceOptions(
            watch=watching_records(watch, self._note),
            confirmations=self.default_confirmations if confirmations is None else confirmations,
            on_placed=on_placed,
            acknowledge=acknowledge,
        )

    async def _check_remembers(self) -> None:
        await self.executors.in_database(self.catalog.check_remembers)
        await self.executors.on_disk(self.placements.check_remembers)

    def _note_agreed(self, order: OrderState, asked: Iterable[Farmer]) -> None:
        """What those that got a slot ask for reading: a ransom later is measured by it."""
        ids = {slot.farmer for slot in order.slots}
        prices = {one.id: one.offer.egress_price_per_gib for one in asked if one.id in ids}
        self.notes.add(lambda: self.reputations.note_agreed(prices))

    def _note(self, event: Complaint) -> None:
        self.notes.add(lambda: self.reputations.note(event))

    @asynccontextmanager
    async def _diagnosed(self, order: OrderState | None = None) -> AsyncIterator[None]:
        try:
            async with diagnosed(self.market, self._signer.clocks, self._signer.now, order):
                yield
        except UserError:
            # What we know of the farmers, and of who keeps the order, may be why: it is asked again.
            self._directory.forget()
            self._tenures.forget()
            raise

    async def _sync(self, watch: Listener) -> None:
        watch(Step(what="Reading the chain"))
        before = self._synced
        synced = self._synced = await self._read_chain()
        self._tenures.note_read()
        for oddity in synced.oddities if synced is not before else ():
            watch(Step(what=oddity))
        async with self.notes.settling():
            said = await self._aftercare.look(synced.head, watch)
        self.notes.said |= dict.fromkeys(said)

    async def _read_chain(self) -> Synced:
        synced = await self._synced_after(self._synced)
        if await self.executors.in_database(self._was_read):
            return synced
        # Reading it found that it was damaged: it is empty now, and the chain fills it again. Nothing may be
        # said of orders before that.
        return await self._synced_after(None)

    async def _synced_after(self, before: Synced | None) -> Synced:
        first = self._first_block
        return await sync_with_all(
            self.market, self.catalog, self.executors, first_block=first, before=before
        )

    def _was_read(self) -> bool:
        return bool(self.catalog.orders() or self.catalog.index.cursor(self._first_block).anchors)

    async def _epoch(self) -> Epoch:
        """The epoch of the newest block that was seen when the chain was read, or that there is."""
        return (self._synced.head if self._synced is not None else await self.market.head()).epoch

    async def _records(self, epoch: Epoch) -> dict[FarmerId, Reputation]:
        """What is remembered of farmers, with the orders of ours that they keep or kept lately."""
        known = await self.executors.in_database(self.reputations.records)
        kept = await self.executors.in_database(self.catalog.kept_by_farmer, epoch - KEPT_TERM_EPOCHS)
        return known | {one: replace(known.get(one, UNKNOWN), kept=terms) for one, terms in kept.items()}
