"""A simulated year: sixty small backups of one folder, kept. What it costs, and how much is written again."""

from dataclasses import dataclass
from math import log2
from random import Random
from typing import Any

from client.drive.memory_catalog import MemoryCatalog
from client.keep.paper_market import PaperDevice, PaperMarket, chunk_id, parameters
from client.keep.test_keep_together import keep_all, run
from hypothesis import given, settings
from hypothesis import strategies as st

from grange.chain.gas_cost import GasPrices
from grange.chain.gas_value import GasValue
from grange_client.drive.catalog import Place
from grange_client.drive.chunk import ChunkId
from grange_client.drive.drive_state import Journal
from grange_client.drive.journal import PublishedCommit
from grange_client.drive.retention_text import parse_retention
from grange_client.keep.costs import Costs
from grange_client.keep.policy import KeepPolicy

YEAR = 365
BACKUPS = 60
MIB = 1 << 20


class IndexedCatalog(MemoryCatalog):
    """The same, with an index: a year has many looks."""

    def __init__(self) -> None:
        super().__init__()
        self.index: dict[ChunkId, list[Place]] = {}

    def add_journal(self, journal: Journal, chunks: Any) -> None:
        chunks = list(chunks)
        known = set(self.contents)
        super().add_journal(journal, chunks)
        if journal.pack in self.contents and journal.pack not in known:
            for chunk in chunks:
                self.index.setdefault(chunk.id, []).append(Place(pack=journal.pack, chunk=chunk))
                self.index[chunk.id].sort(key=lambda place: place.pack)

    def _places(self, one: ChunkId) -> Any:
        return iter(place for place in self.index.get(one, ()) if place.pack in self.contents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A year, as parts of what one full copy costs that is kept for all of it."""

    used: float
    """For epochs of the year: what runs beyond it is not lost."""
    paid: float
    """All that left the vault."""
    extended: float
    """What it would have cost in the year to extend every pack as it is."""
    gas: float
    rewritten: float
    """Bytes that were copied, as a part of the folder."""
    orders: int
    live_packs: int


def play(
    *,
    files: int,
    changed: int,
    retention: str,
    seed: int,
    gas_share: float = 0.0005,
    budget: float | None = None,
) -> tuple[Bill, PaperMarket, PaperDevice]:
    """A folder of so many MiB, of which `changed` are other ones each time. Gas for an order costs this share
    of one copy for the year."""
    drawn = Random(seed)
    market = PaperMarket(parameters=parameters(30, 12))
    free = Costs(k=10, n=30, price_per_gib_epoch=10**15, egress_price_per_gib=10**16)
    one_copy = free.new_rate(files * MIB) * YEAR
    price = max(1, int(one_copy * gas_share)) // 1_950_000
    gas = GasValue(prices=GasPrices(gas_wei=0), fixed_price=price)
    market.costs = Costs(k=10, n=30, price_per_gib_epoch=10**15, egress_price_per_gib=10**16, gas=gas)
    policy = KeepPolicy(
        retention=parse_retention(retention), budget=None if budget is None else int(one_copy * budget)
    )
    device = PaperDevice(market, "laptop", policy=policy)
    device.catalog = IndexedCatalog()
    folder = [chunk_id(f"{number} 0") for number in range(files)]
    days = sorted(drawn.sample(range(1, YEAR), BACKUPS - 1))
    run(device.back_up("0", folder, size_bytes=MIB, end=_first_end(market, policy)))
    dead_bytes = 0
    for day in range(1, YEAR + 1):
        market.epoch = day
        if day in days:
            for place in drawn.sample(range(files), changed):
                folder[place] = chunk_id(f"{place} {day}")
                dead_bytes += MIB
            run(device.back_up(str(day), folder, size_bytes=MIB))
        run(keep_all(device))
        state = market.truth()
        assert market.needed(state.live_commits) <= market.readable()
    used = sum(rate * max(0, min(end, YEAR) - first) for _, first, end, rate in market.paid)
    paid = sum(rate * (end - first) for _, first, end, rate in market.paid)
    transactions = len(market.paid) * market.costs.place_gas() + free.reading(market.copied_bytes)
    assert market.copied_bytes <= dead_bytes + (files + BACKUPS * changed) * MIB * log2(BACKUPS * files)
    bill = Bill(
        used=(used + transactions) / one_copy,
        paid=(paid + transactions) / one_copy,
        extended=sum(
            one.rate * (YEAR - one.placed_epoch - 1)
            for one in market.packs.values()
            if any(isinstance(record, PublishedCommit) for record in one.journal.records[-1:])
        )
        / one_copy,
        gas=transactions / one_copy,
        rewritten=market.copied_bytes / (files * MIB),
        orders=len(market.packs),
        live_packs=sum(one.end > YEAR for one in market.packs.values()),
    )
    return bill, market, device


def _first_end(market: PaperMarket, policy: KeepPolicy) -> int:
    return market.latest_end


def test_a_year_of_small_backups_costs_little_more_than_one_copy() -> None:
    bill, market, _ = play(files=100, changed=1, retention="last=7 daily=30 monthly=12", seed=1)
    print(bill)
    assert bill.used < 1.5
    assert bill.paid < 3.0, "with what runs beyond the year: terms are as long as the market has them"
    assert bill.rewritten < 0.5
    assert bill.live_packs < 60
    commits = market.truth().live_commits
    assert len(commits) >= 12, "a version a month can be restored"


def test_within_a_budget_the_term_is_shorter_and_nothing_is_lost() -> None:
    bill, _, _ = play(files=100, changed=1, retention="last=7 monthly=12", seed=2, budget=1.9)
    print(bill)
    assert bill.paid < 2.0


@settings(max_examples=2, deadline=None)
@given(
    files=st.sampled_from([10, 30]),
    changed=st.integers(1, 3),
    retention=st.sampled_from(["last=1", "last=7 daily=30 monthly=12", "last=all"]),
    seed=st.integers(0, 1 << 16),
)
def test_no_matter_what_changes_keeping_costs_hardly_more_than_to_extend_all(
    files: int, changed: int, retention: str, seed: int
) -> None:
    bill, _, _ = play(files=files, changed=changed, retention=retention, seed=seed)
    assert bill.used - bill.gas <= 1.2 * bill.extended
