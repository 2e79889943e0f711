"""A market and a drive on paper: real journals, catalogs, plans and jobs, without farmers and bytes.

A commit is a set of chunks. A pack can be read while its order runs. Devices see what is placed, and have
nothing but their catalog; what is in a market survives them.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from client.drive.memory_catalog import MemoryCatalog

from grange.layout import Geometry
from grange.times import BlockClock
from grange.types import Address, Epoch, FarmerId, OrderId, Parameters, Slot
from grange.units import LEAF_BYTES
from grange_client.drive.catalog import Marking, Place, fill
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType, id_of
from grange_client.drive.drive_state import DriveState, Journal
from grange_client.drive.journal import Header, PackDescriptor, PlacedChunk, PublishedCommit, Record
from grange_client.drive.leaning import LeaningTimes, chunks_to_copy, chunks_to_store_again
from grange_client.drive.liveness import LiveMarking
from grange_client.drive.retention import DatedCommit, retain
from grange_client.errors import NotEnoughMoney, OrderMissing, Overtaken
from grange_client.keep.costs import Costs
from grange_client.keep.facts import KeepView, KeptPack, Money
from grange_client.keep.jobs import PackJob, check_job, journal_records
from grange_client.keep.lease import LEASE_NAME, unpack_lease
from grange_client.keep.measuring import measure_copy, measure_packs
from grange_client.keep.memory import KeepMemory, find_budget_left
from grange_client.keep.plan import Extend, make_plan
from grange_client.keep.policy import KeepPolicy
from grange_client.keep.ports import KeepLook
from grange_client.keep.stages import unread_that_matter

NANOSECONDS = 10**9
DAY_NS = 86_400 * NANOSECONDS
KEEP_ALL = KeepPolicy()


def parameters(grid_epochs: int = 6, max_books: int = 3) -> Parameters:
    return Parameters(
        token=Address("0x1111111111111111111111111111111111111111"),
        epoch_blocks=43_200,
        grid_epochs=grid_epochs,
        max_books=max_books,
        samples=5,
        collateral_epochs=30,
        max_misses=4,
        penalty=1,
        fine=1,
        auction_epochs=2,
        withdraw_delay_epochs=2,
        min_stake=0,
        former_operator_blocks=300,
    )


def chunk_id(name: str) -> ChunkId:
    return ChunkId(sha256(name.encode()).digest())


def commit_key(name: str) -> ChunkKey:
    return ChunkKey(sha256(b"commit " + name.encode()).digest())


@dataclass(slots=True)
class PaperPack:
    """A pack, and the order that keeps it."""

    pack: OrderId
    order: OrderId
    placed_epoch: int
    end: int
    rate: int
    slot_bytes: int
    k: int
    n: int
    journal: Journal
    chunks: list[PlacedChunk]
    extensions: int = 0
    mandate: int = 0
    mandate_until: int = 0


@dataclass(slots=True)
class PaperMarket:
    """The chain: what was placed, until when, and what was paid."""

    parameters: Parameters = field(default_factory=parameters)
    epoch: int = 0
    costs: Costs = field(default_factory=lambda: Costs(k=2, n=4, price_per_gib_epoch=1 << 40))
    packs: dict[OrderId, PaperPack] = field(default_factory=dict)
    commits: dict[ChunkId, tuple[DatedCommit, frozenset[ChunkId]]] = field(default_factory=dict)
    sizes: dict[ChunkId, int] = field(default_factory=dict)
    paid: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Epoch of the payment, first and last epoch that it is for, and how much an epoch."""
    copied_bytes: int = 0
    vault: int = 1 << 200
    wallet: int = 0

    @property
    def latest_end(self) -> int:
        grid = self.parameters.grid_epochs
        return (self.epoch // grid + self.parameters.max_books) * grid

    def place(
        self,
        pack: OrderId,
        *,
        device: str,
        end: int,
        chunks: Sequence[tuple[ChunkType, ChunkId]],
        checkpoint: OrderId | None,
        records: Iterable[Record],
    ) -> None:
        """One transaction; a second one for the same order is refused."""
        if pack in self.packs:
            raise Overtaken("The order exists.")
        assert self.epoch < end <= self.latest_end
        assert not end % self.parameters.grid_epochs
        placed, offset = [], 0
        for kind, one in chunks:
            size = self.sizes[one]
            placed.append(PlacedChunk(type=kind, id=one, offset_bytes=offset, size_bytes=size))
            offset += size
        geometry = Geometry.for_stream(offset + 2_000 + 48 * len(placed), self.costs.k, self.costs.n)
        header = Header(seconds=self.epoch * 86_400, device=device, checkpoint=checkpoint)
        rate = self.costs.new_rate(offset)
        self.pay(self.epoch + 1, end, rate)
        self.packs[pack] = PaperPack(
            pack=pack,
            order=pack,
            placed_epoch=self.epoch,
            end=end,
            rate=rate,
            slot_bytes=geometry.slot_bytes,
            k=geometry.k,
            n=geometry.n,
            journal=Journal(pack=pack, header=header, records=tuple(records)),
            chunks=placed,
        )

    def extend(self, order: OrderId, end: int) -> None:
        pack = next((one for one in self.packs.values() if one.order == order), None)
        if pack is None:
            raise Overtaken("The order is extended already.")
        assert pack.end - self.parameters.grid_epochs <= self.epoch < pack.end, "the market's window"
        assert pack.end < end <= self.latest_end
        self.pay(pack.end, end, pack.rate)
        pack.extensions += 1
        pack.order = OrderId(sha256(order + end.to_bytes(8)).digest())
        pack.end = end

    def pay(self, first: int, end: int, rate: int) -> None:
        amount = rate * (end - first)
        if amount > self.vault:
            raise NotEnoughMoney("The vault has not so much.")
        self.vault -= amount
        self.paid.append((self.epoch, first, end, rate))

    def descriptor(self, pack: OrderId) -> PackDescriptor:
        one = self.packs[pack]
        slot = Slot(farmer=FarmerId(1), root=bytes(32), rate=1, start=Epoch(one.placed_epoch))
        return PackDescriptor(
            pack=pack,
            order=one.order,
            block=self.epoch * 1_000 + one.extensions,
            end=Epoch(one.end),
            k=1,
            leaf_count=max(1, one.slot_bytes // LEAF_BYTES),
            piece_leaves=1,
            slots=(slot,),
        )

    def truth(self) -> DriveState:
        """What all journals that were ever placed say."""
        state = DriveState()
        for one in self.packs.values():
            state = state.with_journal(one.journal)
        return state

    def readable(self) -> set[ChunkId]:
        """The chunks that farmers have."""
        return {c.id for one in self.packs.values() if one.end > self.epoch for c in one.chunks}

    def needed(self, commits: Iterable[ChunkId]) -> set[ChunkId]:
        return {one for commit in commits for one in (commit, *self.commits[commit][1])}


@dataclass(slots=True)
class Backup:
    """A backup under way: what it wants to publish, and on what it relies."""

    commit: ChunkKey
    wanted: frozenset[ChunkId]
    stored: set[ChunkId]
    checked_epoch: int | None = None
    look: KeepLook | None = None


class PaperDevice:
    """A device with its catalog: backs up, and keeps."""

    def __init__(
        self,
        market: PaperMarket,
        name: str,
        *,
        policy: KeepPolicy = KEEP_ALL,
        interrupt: Callable[[str], None] = lambda step: None,
    ) -> None:
        """`interrupt` is called between the steps of placing, and may raise."""
        self.market = market
        self.name = name
        self.policy = policy
        self.catalog = MemoryCatalog()
        self.marking: Marking | None = None
        self.interrupt = interrupt
        self.done: list[str] = []

    # What it sees

    def refresh(self) -> set[OrderId]:
        """Read what is new on chain and in journals; gives what could not be read."""
        market = self.market

        def read(pack: OrderId, where: PackDescriptor | None) -> tuple[Journal, list[PlacedChunk]]:
            one = market.packs[pack]
            if one.end <= market.epoch:
                raise OrderMissing("The order is over.")
            return one.journal, one.chunks

        recovery = fill(self.catalog, list(market.packs), read)
        known = [
            pack for pack in market.packs if pack in self.catalog.state().packs or pack in recovery.state.read
        ]
        self.catalog.add_packs(map(market.descriptor, known))
        return set(recovery.missing)

    @property
    def state(self) -> DriveState:
        return self.catalog.state()

    def mark(self, keys: Collection[ChunkKey]) -> LiveMarking:
        marking = self.catalog.begin_marking()
        marked = self.catalog.mark(marking, list(self.market.needed(map(id_of, keys))))
        return LiveMarking(marking=marking, missing=tuple(marked.missing))

    async def look(self, memory: KeepMemory) -> KeepLook:
        market, epoch = self.market, Epoch(self.market.epoch)
        if self.policy.budget is not None:
            spent = tuple((Epoch(when), rate * (end - first)) for when, first, end, rate in market.paid)
            memory = KeepMemory(spent=spent)
        missing = unread_that_matter(self.refresh(), self.state, epoch)
        live = [market.commits[one][0] for one in self.state.live_commits]
        withdrawable: tuple[ChunkId, ...] = ()
        if live and self.policy.retention is not None:
            past = {one: commit.parents for one, (commit, _) in market.commits.items()}
            plan = retain(live, self.policy.retention, now_ns=(epoch + 1) * DAY_NS, known_past=past)
            withdrawable = plan.dropped
        keys = self.state.live_commits
        times = LeaningTimes.of_grid(market.parameters.grid_epochs)
        after = Epoch(epoch + times.leaning_epochs)
        measured = measure_packs(
            self.catalog,
            self.mark,
            live=list(keys.values()),
            kept=[key for one, key in keys.items() if one not in withdrawable],
            after=after,
        )
        self.marking = measured.marking.marking

        def measure(packs: Collection[OrderId]) -> int:
            return measure_copy(self.catalog, measured, packs, after=after)

        packs, covered = [], self.state.covered_packs
        for pack, where in self.state.live_packs.items():
            one, content = market.packs[pack], measured.contents.get(pack)
            packs.append(
                KeptPack(
                    pack=pack,
                    order=where.order,
                    end=where.end,
                    k=one.k,
                    n=one.n,
                    slot_bytes=one.slot_bytes,
                    rate=one.rate,
                    live_count=content.live_count if content else len(one.chunks),
                    live_bytes=content.live_bytes if content else 0,
                    needed_bytes=content.needed_bytes if content else 0,
                    mandate=one.mandate,
                    mandate_until=Epoch(one.mandate_until),
                    is_retired=pack in self.state.retired,
                    is_unmeasured=content is None,
                    is_pinned=pack in measured.pinned,
                    is_covered=pack in covered,
                )
            )
        view = KeepView(
            epoch=epoch,
            device=self.name,
            parameters=market.parameters,
            packs=tuple(packs),
            money=Money(
                vault=market.vault,
                wallet=market.wallet,
                budget_left=find_budget_left(self.policy.budget, memory, epoch, 86_400),
            ),
            costs=market.costs,
            measure=measure,
            lease=unpack_lease(self.state.values.get(LEASE_NAME)),
            is_complete=not missing and measured.is_complete,
            withdrawable=withdrawable,
        )
        clock = BlockClock(
            block=epoch * 43_200,
            timestamp=1_800_000_000 + epoch * 86_400,
            block_seconds=2.0,
            epoch_blocks=43_200,
        )
        return KeepLook(drive="main", view=view, clock=clock, policy=self.policy)

    # What it does

    async def epoch(self) -> Epoch:
        return Epoch(self.market.epoch)

    async def extend(self, action: Extend) -> None:
        self.interrupt("extend")
        self.market.extend(action.pack.order, action.end)
        self.done.append("extend")

    async def place(self, job: PackJob) -> None:
        self.interrupt("begin")
        self.check(job)
        copied = self.copy(job)
        self.interrupt("copied")
        self.refresh()
        self.check(job)
        self.interrupt("checked")
        self.send(job, copied)
        self.interrupt("sent")
        self.refresh()

    def check(self, job: PackJob) -> None:
        times = LeaningTimes.of_grid(self.market.parameters.grid_epochs)
        epoch = Epoch(self.market.epoch)
        check_job(job, self.state, epoch=epoch, publishing_epochs=times.publishing_epochs)

    def copy(self, job: PackJob) -> list[Place]:
        assert self.marking is not None
        times = LeaningTimes.of_grid(self.market.parameters.grid_epochs)
        after = Epoch(job.look_epoch + times.leaning_epochs)
        return list(chunks_to_copy(self.catalog, self.marking, job.packs, after=after))

    def send(self, job: PackJob, copied: Sequence[Place]) -> None:
        market = self.market
        epoch = Epoch(market.epoch)
        checkpoint, records = journal_records(job, self.state, epoch=epoch, seconds=market.epoch * 86_400)
        for place in copied:
            assert market.packs[place.pack].end > market.epoch, "what is copied can be read"
        market.place(
            OrderId(job.id),
            device=self.name,
            end=job.end,
            chunks=[(place.chunk.type, place.chunk.id) for place in copied],
            checkpoint=checkpoint,
            records=records,
        )
        market.copied_bytes += sum(place.chunk.size_bytes for place in copied)
        self.done.append("repack")

    async def take_off_mandate(self, orders: Collection[OrderId]) -> None:
        for pack in self.market.packs.values():
            if pack.order in orders:
                pack.mandate = 0
        self.done.append("take off")

    async def give_mandate(self, orders: Collection[OrderId], until: Epoch) -> None:
        for pack in self.market.packs.values():
            if pack.order in orders:
                pack.mandate, pack.mandate_until = 1, until
        self.done.append("mandate")

    async def close(self, order: OrderId) -> None:
        self.done.append("close")

    async def top_up(self, amount: int) -> None:
        self.market.wallet -= amount
        self.market.vault += amount
        self.done.append("top up")

    # Backups

    def begin_backup(self, name: str, wanted: Iterable[ChunkId], *, size_bytes: int = 1 << 20) -> Backup:
        """Choose what is sent: what is not in a pack that one may rely on."""
        self.refresh()
        market = self.market
        key = commit_key(name)
        wanted = frozenset(wanted)
        for one in wanted:
            market.sizes.setdefault(one, size_bytes)
        market.sizes[id_of(key)] = 300
        return Backup(commit=key, wanted=wanted, stored=self.unsafe(wanted))

    def unsafe(self, ids: Collection[ChunkId]) -> set[ChunkId]:
        times = LeaningTimes.of_grid(self.market.parameters.grid_epochs)
        return chunks_to_store_again(self.catalog, ids, epoch=Epoch(self.market.epoch), times=times)

    async def check_backup(self, backup: Backup) -> None:
        """With all acceptances in hand: what is not safe to rely on any more is stored as well."""
        backup.look = await self.look(KeepMemory())
        backup.stored |= self.unsafe(backup.wanted - backup.stored)
        backup.checked_epoch = self.market.epoch

    def publish(
        self, backup: Backup, *, parents: Collection[ChunkKey] | None = None, end: int | None = None
    ) -> bool:
        """Place the pack; False where the acceptances are over, and it has to be checked again."""
        market = self.market
        times = LeaningTimes.of_grid(market.parameters.grid_epochs)
        assert backup.checked_epoch is not None
        assert backup.look is not None
        if market.epoch - backup.checked_epoch > times.publishing_epochs:
            return False
        state = self.state
        heads = parents if parents is not None else state.live_commits.values()
        plan = make_plan(backup.look.view, self.policy)
        # What was settled at the look is settled for good.
        drop = frozenset(plan.droppable) - state.dropped
        lost = drop - state.read
        can_checkpoint = backup.look.view.is_complete and not (state.live_packs.keys() - state.read - lost)
        dropped = {"drop": drop - lost, "lost": lost} if can_checkpoint else {}
        try:
            checkpoint, records = state.next_journal(Epoch(market.epoch), **dropped)
        except Exception as error:
            raise AssertionError("a backup can always be written") from error
        one = id_of(backup.commit)
        market.commits[one] = (
            DatedCommit(
                id=one,
                time_ns=market.epoch * DAY_NS + len(market.commits),
                parents=frozenset(map(id_of, heads)),
            ),
            backup.wanted,
        )
        pack = OrderId(sha256(b"pack" + backup.commit + market.epoch.to_bytes(4)).digest())
        market.place(
            pack,
            device=self.name,
            end=end or market.latest_end,
            chunks=[(ChunkType.COMMIT, one), *((ChunkType.DATA, c) for c in sorted(backup.stored))],
            checkpoint=checkpoint,
            records=[*records, PublishedCommit(key=backup.commit)],
        )
        return True

    async def back_up(
        self, name: str, wanted: Iterable[ChunkId], *, size_bytes: int = 1 << 20, end: int | None = None
    ) -> None:
        backup = self.begin_backup(name, wanted, size_bytes=size_bytes)
        await self.check_backup(backup)
        assert self.publish(backup, end=end)
