"""Finding farmers: who the chain knows, who of them answers, and where they are.

Decides how many are asked at once and how long anybody waits for their answers. Whom to ask is
`grange.selection`'s, the choice among those that answer is `select`'s.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from grange.chain import Farmer
from grange.errors import Told
from grange.peer import Peer, dealing_with, networks_of
from grange.selection import HISTORY_EPOCHS, highest_egress, price_floor, prospects
from grange.tasks import all_of, cancelled
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import Listener, ReadingPriceRaised
from grange.types import FarmerId
from grange_client.errors import NothingToStore
from grange_client.market import Market
from grange_client.plan import LARGE_CODE_FROM_FARMERS, Wish, codes_for
from grange_client.select import Candidate, Choice, Need, Record, choose, never_fits

MAX_PROBES_AT_ONCE = 64
PROBING_SECONDS = 30.0
"""However many names do not answer: who has not by then is left out."""
_UNKNOWN = Record()

OpenPeer = Callable[[Farmer], Peer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Who answered, and what was wrong with those who did not."""

    candidates: tuple[Candidate, ...]
    silent: dict[FarmerId, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What there is to choose from for one order.

    `need` has what the market says of prices; `unfit` are those that the chain alone rules out.
    """

    need: Need
    registered: int
    candidates: tuple[Candidate, ...]
    silent: dict[FarmerId, str]
    unfit: dict[FarmerId, str]

    def priced(self, need: Need) -> Need:
        """Another need in the same market."""
        return replace(need, price_floor=self.need.price_floor, highest_egress=self.need.highest_egress)


async def choose_farmers(
    market: Market,
    open_peer: OpenPeer,
    wish: Wish,
    need_of: Callable[[int, int], Need],
    *,
    records: Mapping[FarmerId, Record],
    watch: Listener,
) -> tuple[Need, Choice]:
    """Who is to keep a new order, and the code that they make possible; `need_of` takes k and n.

    Raises NothingToStore for a wish that makes no code, and NotEnoughFarmers.
    """
    # Of all codes that may come of it this one asks the least of each farmer.
    least = need_of(*codes_for(wish, LARGE_CODE_FROM_FARMERS)[0])
    found = await survey(market, open_peer, least, records=records, watch=watch)
    for need, choice in _choices(wish, found, need_of):
        if len(choice.ranked) >= need.n:
            return need, replace(choice, unfit=found.unfit | choice.unfit)
    raise _too_few(wish, found, need_of)


async def survey(
    market: Market,
    open_peer: OpenPeer,
    need: Need,
    *,
    records: Mapping[FarmerId, Record],
    watch: Listener,
    registered: Sequence[Farmer] | None = None,
    keepers: Collection[FarmerId] = (),
) -> Survey:
    """Look for farmers that could take a slot, a bounded number of them, however many are registered.

    `keepers` have slots already: they are asked whatever the chain says of them.
    """
    farmers = await market.farmers() if registered is None else registered
    lately = await market.proofs(epochs=market.parameters.max_misses)
    need = replace(
        need,
        price_floor=price_floor(farmers, lately),
        highest_egress=highest_egress(farmers, lately, need.epochs),
    )
    for farmer in _extorters(farmers, lately, records):
        price = farmer.offer.egress_price_per_gib
        watch(ReadingPriceRaised(farmer=farmer.id, price_per_gib=price))
    unfit = {farmer.id: reason for farmer in farmers if (reason := _ruled_out(farmer, need, records))}
    others = [farmer for farmer in farmers if farmer.id not in unfit and farmer.id not in keepers]
    known = {farmer for farmer, record in records.items() if record.successes or record.kept}
    asked = [farmer for farmer in farmers if farmer.id in keepers]
    asked += prospects(others, known=known, proven=lately, tie=need.tie)
    proven = await market.proofs(epochs=HISTORY_EPOCHS, farmers=[farmer.id for farmer in asked])
    found = await probe(asked, open_peer, records=records)
    candidates = [replace(one, proven=proven.get(one.farmer.id, frozenset())) for one in found.candidates]
    return Survey(
        need=need,
        registered=len(farmers),
        candidates=tuple(candidates),
        silent=found.silent,
        unfit=unfit,
    )


async def probe(
    farmers: Sequence[Farmer],
    open_peer: OpenPeer,
    *,
    records: Mapping[FarmerId, Record],
    sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
) -> Found:
    """Ask farmers how they are, side by side; who has not answered in PROBING_SECONDS is silent."""
    gate = asyncio.Semaphore(MAX_PROBES_AT_ONCE)
    answers: dict[FarmerId, Candidate | str] = {}

    async def one(farmer: Farmer) -> None:
        async with gate:
            try:
                with dealing_with(farmer.id):
                    info = await open_peer(farmer).greet()
                    networks = await networks_of(farmer)
            except Told as error:
                answers[farmer.id] = error.what
                return
        record = records.get(farmer.id, _UNKNOWN)
        answers[farmer.id] = Candidate(
            farmer=farmer, free_bytes=info.free_bytes, networks=networks, record=record
        )

    asking = asyncio.create_task(all_of(map(one, farmers)))
    waiting = asyncio.create_task(sleep(PROBING_SECONDS))
    try:
        await asyncio.wait({asking, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            asking.result()
    finally:
        await cancelled([asking, waiting])
    candidates = [answer for answer in answers.values() if isinstance(answer, Candidate)]
    silent = {
        farmer.id: answer
        for farmer in farmers
        if isinstance(answer := answers.get(farmer.id, f"Farmer {farmer.id} did not answer in time."), str)
    }
    return Found(candidates=tuple(sorted(candidates, key=lambda c: c.farmer.id)), silent=silent)


def _extorters(
    farmers: Sequence[Farmer], lately: Collection[FarmerId], records: Mapping[FarmerId, Record]
) -> list[Farmer]:
    """Those that keep something of ours and ask far more for reading than others, and than when they took it.

    Whoever asks what it always asked has raised nothing, whatever others ask by now: prices fall, and anyone
    with stake enough can move the median.
    """
    sellers = [
        (farmer, record)
        for farmer in farmers
        if (record := records.get(farmer.id, _UNKNOWN)).kept
        and record.agreed is not None
        and farmer.offer.egress_price_per_gib > record.agreed
    ]
    longest = max((end - start for _, record in sellers for start, end in record.kept), default=0)
    most = highest_egress(farmers, lately, longest) if sellers else 0
    return [farmer for farmer, _ in sellers if farmer.offer.egress_price_per_gib > most]


def _ruled_out(farmer: Farmer, need: Need, records: Mapping[FarmerId, Record]) -> str:
    return records.get(farmer.id, _UNKNOWN).distrust or never_fits(farmer, need)


def _choices(wish: Wish, found: Survey, need_of: Callable[[int, int], Need]) -> Iterator[tuple[Need, Choice]]:
    """What the codes lead to that a wish leaves open, the best first, as far as the data fits into them."""
    for k, n in codes_for(wish, len(found.candidates)):
        need = found.priced(need_of(k, n))
        yield need, choose(found.candidates, need)


def _too_few(wish: Wish, found: Survey, need_of: Callable[[int, int], Need]) -> NotEnoughFarmers:
    """What is missing for the code that was asked for, and the largest that would do."""
    need, fitting = next(_choices(wish, found, need_of))
    possible = None
    with suppress(NothingToStore):
        choices = _choices(Wish(), found, need_of)
        possible = next((other.n for other, choice in choices if len(choice.ranked) >= other.n), None)
    reasons = found.silent | found.unfit | fitting.unfit
    there = f"{len(fitting.ranked)} of the {found.registered} that are registered can take a part."
    return NotEnoughFarmers(
        f"{need.n} farmers are needed, and {there}" if need.n > 1 else f"A farmer is needed, and {there}",
        failures={f"farmer {farmer}": reason for farmer, reason in reasons.items()},
        missing=need.n - len(fitting.ranked),
        means="Nothing was sent and nothing is paid.",
        todo=f"Store it with --n {possible}, which they can take, or when more farmers are there."
        if possible
        else "Store it for fewer --epochs, or when more farmers are there.",
    )
