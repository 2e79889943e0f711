"""The node: what belongs together while a farm runs, opened and closed in one place.

    Store, Ledger     what is on disk
    Volume, Ballast   whether that is there, and room kept back for it (loop)
    Executors         threads for what blocks
    FarmMarket        the way to the market
    ChainFollower     chain -> ledger and view                         (loop)
    Prover            view, ledger, store -> proofs                    (loop)
    Collector         ledger -> removals                               (loop)
    Scrubber          store -> damage                                  (loop)
    SelfRepairer      damage -> mended, or lost                        (loop)
    Giver             slots -> other farmers that take them            (loop)
    Bonds             what is still answered for -> free               (loop)
    Uploads           pieces -> store and ledger
    AcceptanceService store, ledger, view -> acceptances
    RenterLists       whose data is taken
    FarmerLists       who reads and extends what is here, and is given slots
    Readers           who may read what
    PaymentGate       vouchers -> reads
    Redeemer          vouchers -> money                                (loop)
    GasWatch          gas tokens -> warnings                           (loop)
    StakeWatch        stake -> warnings                                (loop)

Decides the order of opening, what is made consistent after a kill, and which loops run. Leaves HTTP to `app`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from grange.allow_lists import FARMERS, RENTERS, ListFiles
from grange.chain import Wallet
from grange.chain.order_index import OrderIndex
from grange.executors import Executors
from grange.messages import NO_ORDER
from grange.units import MIB, format_count
from grange_node.acceptance.acceptance_service import AcceptanceService
from grange_node.audit.fee_history import FeeHistory
from grange_node.audit.prover import Prover
from grange_node.audit.seed_recorder import SeedRecorder
from grange_node.chain.account_funds import AccountFunds
from grange_node.chain.chain_follower import ChainFollower
from grange_node.chain.delegates import Delegates
from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.gas_watch import GAS_SECONDS, GasWatch
from grange_node.chain.known_orders import LOOKED_UP_SECONDS, KnownOrders
from grange_node.chain.stake_watch import StakeWatch
from grange_node.chain.vault_funds import VaultFunds
from grange_node.chain.wallet_signatures import WalletSignatures
from grange_node.config import (
    ACCOUNTS_NAME,
    DAMAGED_PIECES_NAME,
    HAND_OVERS_NAME,
    LEDGER_NAME,
    ORDERS_NAME,
    REPAIRS_NAME,
    Config,
)
from grange_node.files import DiskFiles, Files
from grange_node.hand_over.bonds import Bonds
from grange_node.hand_over.giver import GIVER_SECONDS, Giver
from grange_node.hand_over.list_file import HandOverList
from grange_node.hand_over.takers import LiveTakers, Takers
from grange_node.hand_over.transfer import Setting
from grange_node.leaving.book_front import BookFront
from grange_node.ledger.ledger import Ledger
from grange_node.limits.fair_shares import FairShares
from grange_node.lists.farmer_lists import FarmerLists
from grange_node.lists.followed_lists import FollowedLists
from grange_node.lists.renter_lists import RenterLists
from grange_node.loops import forever
from grange_node.payments.accounts import Accounts
from grange_node.payments.payment_gate import PaymentGate
from grange_node.payments.redeemer import Redeemer
from grange_node.payments.vouchers import is_signed
from grange_node.pieces.ballast import Ballast
from grange_node.pieces.capacity import Capacity
from grange_node.pieces.disk_capacity import DiskCapacity
from grange_node.pieces.slot_locks import SlotLocks
from grange_node.pieces.store import Store
from grange_node.pieces.volume import Volume
from grange_node.pieces.waiting import SHARE_WEIGHT
from grange_node.reads.paths import Paths
from grange_node.reads.readers import Readers
from grange_node.records import SlotState
from grange_node.self_repair.damaged_pieces import DamagedPieces
from grange_node.self_repair.rebuilder import LiveRebuilder, Rebuilder
from grange_node.self_repair.scrubber import IDLE_SECONDS, Scrubber
from grange_node.self_repair.self_repairer import SELF_REPAIR_SECONDS, SelfRepairer
from grange_node.slot_key import SlotKey
from grange_node.uploads.collector import COLLECT_SECONDS, Collector
from grange_node.uploads.deletion import idle_at_start
from grange_node.uploads.uploads import Uploads

MAX_MEMORY_BYTES = 128 * MIB
"""What pieces on their way in and out may take: 2,048 connections that take or send their bytes slowly would
have some GiB of memory, and a whole node stays below 300 MB. Each network has a share."""
DISK_SECONDS = 5.0
"""Between two looks at the data folder."""

log = logging.getLogger("grange.farm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Everything a running farm consists of."""

    config: Config
    store: Store
    volume: Volume
    ballast: Ballast
    disk_capacity: DiskCapacity
    executors: Executors
    accounts: Accounts
    paths: Paths
    ledger: Ledger
    capacity: Capacity
    market: FarmMarket
    follower: ChainFollower
    uploads: Uploads
    locks: SlotLocks
    acceptance_service: AcceptanceService
    seed_recorder: SeedRecorder
    prover: Prover
    collector: Collector
    damaged_pieces: DamagedPieces
    self_repairer: SelfRepairer
    scrubber: Scrubber
    giver: Giver
    bonds: Bonds
    renter_lists: RenterLists
    farmer_lists: FarmerLists
    readers: Readers
    known_orders: KnownOrders
    delegates: Delegates
    wallet_signatures: WalletSignatures
    payment_gate: PaymentGate
    redeemer: Redeemer
    gas_watch: GasWatch
    stake_watch: StakeWatch
    memory: FairShares
    """For pieces on their way in and out."""
    steady: Callable[[], float] = field(repr=False)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: Config,
        wallet: Wallet,
        *,
        market: FarmMarket | None = None,
        files: Files | None = None,
        rebuilder: Rebuilder | None = None,
        takers: Takers | None = None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        volume: Volume | None = None,
        executors: Executors | None = None,
    ) -> AsyncIterator[Node]:
        """Open all of it and put right what a kill left. `clock` gives Unix seconds, for dates; `steady`
        seconds by a clock that nobody sets, for how long something takes; `executors` of the caller's own
        are left open.

        Raises DataInUse, LedgerInvalid, ListInvalid, NodeWorldError.
        """
        async with AsyncExitStack() as stack:
            is_own = executors is None
            executors = executors or stack.enter_context(Executors.open())
            store_files = files or DiskFiles()
            volume = volume or Volume(config.data_folder)
            # First: on a full disk it makes the room that all the rest needs.
            ballast = Ballast(config.data_folder, lambda: store_files.free_bytes(config.data_folder))
            await executors.on_disk(ballast.keep)
            store = stack.enter_context(
                Store.open(
                    config.data_folder,
                    reserve_bytes=config.reserve_bytes,
                    files=store_files,
                    may_make=volume.require,
                )
            )
            await executors.on_disk(ballast.keep)
            ledger = stack.enter_context(
                Ledger.open(
                    config.data_folder / LEDGER_NAME,
                    chain_id=config.chain_id,
                    market=config.domain.market,
                    farmer=config.farmer,
                    start_block=config.start_block,
                    full=ballast.give_up,
                )
            )
            capacity = Capacity(
                capacity_bytes=config.offer.capacity_bytes,
                unplaced_bytes=config.unplaced_bytes,
                unplaced_bytes_per_renter=config.unplaced_bytes_per_renter,
            )
            await executors.on_disk(_recover, store, ledger, capacity)
            index = stack.enter_context(
                OrderIndex.open(config.data_folder / ORDERS_NAME, domain=config.domain)
            )
            if market is None:
                market = await stack.enter_async_context(
                    FarmMarket.open(config, wallet, known=index, executors=executors)
                )
            epoch_blocks = config.parameters.epoch_blocks
            follower = ChainFollower(market, ledger, capacity, epoch_blocks, clock, executors=executors)
            noted = await executors.in_database(ledger.staging_ages)
            locks = SlotLocks(steady, {key: idle_at_start(seconds) for key, seconds in noted.items()})
            funds = AccountFunds(market, clock)
            uploads = Uploads(
                config=config,
                store=store,
                ledger=ledger,
                capacity=capacity,
                funds=funds,
                locks=locks,
                clock=clock,
                executors=executors,
            )
            accounts = stack.enter_context(
                Accounts.open(
                    config.data_folder / ACCOUNTS_NAME,
                    ballast.give_up,
                    lambda account: is_signed(account, config.domain, config.farmer),
                )
            )
            damaged_pieces = stack.enter_context(
                DamagedPieces.open(config.data_folder / DAMAGED_PIECES_NAME, ballast.give_up)
            )
            if rebuilder is None:
                rebuilder = LiveRebuilder(
                    config.data_folder / REPAIRS_NAME, market.sender, executors, known=index
                )
            front = BookFront(
                farmer=config.farmer,
                domain=config.domain,
                wallet=wallet,
                ledger=ledger,
                market=market,
                follower=follower,
                order_of=rebuilder.order,
                executors=executors,
            )
            self_repairer = SelfRepairer(
                config=config,
                store=store,
                ledger=ledger,
                capacity=capacity,
                market=market,
                follower=follower,
                damaged_pieces=damaged_pieces,
                volume=volume,
                rebuilder=rebuilder,
                front=front,
                clock=clock,
                steady=steady,
                executors=executors,
            )
            hand_overs = stack.enter_context(
                HandOverList.open(config.data_folder / HAND_OVERS_NAME, ballast.give_up)
            )
            fees = FeeHistory(epoch_blocks)
            seed_recorder = SeedRecorder(config, ledger, market, follower, fees, executors=executors)
            vaults = VaultFunds(market, clock)
            wallets = WalletSignatures(market, config.domain, config.farmer, clock)
            redeemer = Redeemer(
                accounts=accounts,
                market=market,
                vaults=vaults,
                wallets=wallets,
                redeem_at=config.redeem_at,
                executors=executors,
            )
            disk_capacity = DiskCapacity(store, executors)
            await disk_capacity.measure()
            farmer_files = ListFiles(folder=config.data_folder / REPAIRS_NAME, of=FARMERS)
            renter_files = ListFiles(folder=config.data_folder, of=RENTERS)
            farmer_lists = FarmerLists(
                FollowedLists(farmer_files, executors=executors, steady=steady), market.farmer, steady=steady
            )
            readers = Readers(market, follower, funds, farmer_lists, clock)
            renter_lists = RenterLists(
                FollowedLists(renter_files, executors=executors, steady=steady), readers.renter_of
            )
            for lists in (farmer_lists, renter_lists):
                await lists.load()
            if is_own:
                # What has begun in a thread ends before what it works on is closed.
                stack.callback(executors.close)
            yield cls(
                config=config,
                store=store,
                volume=volume,
                ballast=ballast,
                disk_capacity=disk_capacity,
                executors=executors,
                accounts=accounts,
                paths=Paths(store, executors),
                ledger=ledger,
                capacity=capacity,
                market=market,
                follower=follower,
                uploads=uploads,
                locks=locks,
                acceptance_service=AcceptanceService(
                    config=config,
                    wallet=wallet,
                    store=store,
                    ledger=ledger,
                    market=market,
                    follower=follower,
                    uploads=uploads,
                    locks=locks,
                    is_to_go=hand_overs.has,
                    renters=renter_lists,
                    farmers=farmer_lists,
                    clock=clock,
                    executors=executors,
                ),
                seed_recorder=seed_recorder,
                prover=Prover(
                    config,
                    store,
                    ledger,
                    market,
                    follower,
                    seeds=seed_recorder,
                    fees=fees,
                    executors=executors,
                    damaged=self_repairer.drawn,
                    require_disk=volume.require,
                ),
                collector=Collector(
                    ledger=ledger,
                    uploads=uploads,
                    locks=locks,
                    market=market,
                    follower=follower,
                    history=rebuilder.order,
                    farmer=config.farmer,
                    epoch_blocks=epoch_blocks,
                    clock=clock,
                    executors=executors,
                ),
                damaged_pieces=damaged_pieces,
                self_repairer=self_repairer,
                scrubber=Scrubber(
                    store,
                    executors,
                    kept=self_repairer.kept,
                    found=self_repairer.found,
                    finished=self_repairer.scrubbed,
                    next_suspect=self_repairer.next_suspect,
                ),
                giver=Giver(
                    setting=Setting(
                        farmer=config.farmer,
                        domain=config.domain,
                        store=store,
                        hand_overs=hand_overs,
                        executors=executors,
                        reading=self_repairer.reading,
                    ),
                    ledger=ledger,
                    market=market,
                    follower=follower,
                    takers=takers or LiveTakers(config.data_folder / REPAIRS_NAME, market.sender, executors),
                    order_of=rebuilder.order,
                    front=front,
                    steady=steady,
                ),
                bonds=Bonds(
                    farmer=config.farmer,
                    hand_overs=hand_overs,
                    ledger=ledger,
                    market=market,
                    follower=follower,
                    executors=executors,
                ),
                renter_lists=renter_lists,
                farmer_lists=farmer_lists,
                readers=readers,
                known_orders=KnownOrders(
                    index,
                    ledger=ledger,
                    follower=follower,
                    look_up=rebuilder.order,
                    grid_epochs=config.parameters.grid_epochs,
                    clock=steady,
                    executors=executors,
                ),
                delegates=Delegates(market, clock),
                wallet_signatures=wallets,
                payment_gate=PaymentGate(
                    domain=config.domain,
                    farmer=config.farmer,
                    price_per_gib=config.offer.egress_price_per_gib,
                    accounts=accounts,
                    vaults=vaults,
                    wallets=wallets,
                    wallet_credit=redeemer.wallet_credit,
                    executors=executors,
                ),
                redeemer=redeemer,
                gas_watch=GasWatch(market, wallet.address),
                stake_watch=StakeWatch(market, follower),
                memory=FairShares(MAX_MEMORY_BYTES, SHARE_WEIGHT),
                steady=steady,
            )

    async def run_loops(self) -> None:
        """Watch, prove, redeem, collect, care and hand over until cancelled."""
        # What has to be done in each epoch is tried again several times in it, however often it failed.
        in_time = partial(forever, longest_backoff_seconds=self.follower.pause_seconds)
        async with asyncio.TaskGroup() as group:
            group.create_task(in_time("chain", self.follower.look, self.follower.pause_seconds))
            group.create_task(in_time("vouchers", self.redeemer.tick, self.follower.pause_seconds))
            group.create_task(forever("gas", self.gas_watch.tick, lambda: GAS_SECONDS))
            group.create_task(forever("stake", self.stake_watch.tick, self.follower.pause_seconds))
            group.create_task(in_time("seeds", self.seed_recorder.tick, lambda: 0.0))
            group.create_task(in_time("prover", self.prover.tick, lambda: 0.0))
            group.create_task(forever("collector", self.collector.collect, lambda: COLLECT_SECONDS))
            group.create_task(forever("scrubber", self.scrubber.round, lambda: IDLE_SECONDS))
            group.create_task(in_time("self-repair", self.self_repairer.tick, lambda: SELF_REPAIR_SECONDS))
            group.create_task(in_time("hand-overs", self.giver.tick, lambda: GIVER_SECONDS))
            group.create_task(forever("orders", self.known_orders.tick, lambda: LOOKED_UP_SECONDS))
            group.create_task(in_time("bonds", self.bonds.tick, self.follower.pause_seconds))
            group.create_task(forever("disk", self.look_at_disk, lambda: DISK_SECONDS))

    async def look_at_disk(self) -> None:
        """See that the data folder is still there, and that room is kept back. Raises VolumeMissing."""

        def in_place() -> bool:
            return self.ledger.in_place() and self.accounts.in_place()

        if await self.executors.on_disk(self.volume.look, self.steady(), in_place):
            await self.executors.on_disk(self.ballast.keep)
            await self.disk_capacity.measure()
        else:
            self.disk_capacity.clear()


def _recover(store: Store, ledger: Ledger, capacity: Capacity) -> None:
    """Count what is here. Folders that the ledger knows nothing of are left alone: they may be all there
    is."""
    known: set[SlotKey] = set()
    for record in ledger.slots(*SlotState):
        known.add(record.key)
        lender = None
        if record.terms is not None and record.terms.previous != NO_ORDER:
            lender = ledger.acceptance(record.terms.previous, record.key.slot)
        if record.terms is None:
            capacity.add(record.key, store.held_bytes(record.key), pieces=len(store.pieces(record.key)))
        elif lender is not None and store.shares:
            capacity.share(record.key, lender.key, record.agreed.slot_bytes)
        else:
            capacity.add(record.key, record.agreed.slot_bytes, pieces=record.agreed.pieces)
        capacity.set_placed(record.key, record.state is SlotState.PLACED)
    strangers = [key for key in store.slot_keys() if key not in known]
    if strangers:
        log.warning(
            "in no ledger, and neither served nor removed: %s; the first is %s",
            format_count(len(strangers), "slot folder"),
            strangers[0],
        )
