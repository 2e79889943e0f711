"""The farmers of a market: what the chain, their own answers and our memory say of them.

    directory.registered()              everybody, as the chain has them, or a sample
    directory.by_id(farmers)            some of them, without reading the others
    directory.probe(farmers)            who of them answers, with how much room, in which networks
    directory.find_candidates(needed)   those that could take a slot, a bounded number of them

What is found out is kept for a while (`aging`): a command that asks once reads once, and a client that runs
on does not ask for each order again. Whom to ask is `sampling`'s, the choice among those that answer is
`selection`'s. For one event loop.
"""

import asyncio
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Self

import aiohttp

from grange.allow_lists import NO_LISTS, AllowLists
from grange.chain import Farmer
from grange.chain.registry import Registered, Registry, read_some
from grange.listed_names import ListedNames
from grange.peer import (
    FARMER_FAULTS,
    Peer,
    ReadPayments,
    Signer,
    TransferLimits,
    dealing_with,
    networks_of,
    open_session,
)
from grange.tasks import all_of, cancelled
from grange.transfer.aging import Aging, Freshness
from grange.transfer.events import Listener, ReadingPriceRaised, ignore_progress
from grange.transfer.listed import is_friend, refusal_of
from grange.transfer.retry import RetryPolicy
from grange.transfer.sampling import MAX_ASKED, highest_egress, price_floor, prospects
from grange.transfer.selection import (
    UNKNOWN,
    Candidate,
    Reputation,
    Requirements,
    epochs_kept,
    needed_of,
    unfit_on_chain,
)
from grange.types import Address, FarmerId

MAX_PROBES_AT_ONCE = 64
MAX_ANSWERS: Final = 1_024
"""With more of them those that are too old to be used are forgotten."""
PROBING_SECONDS = 30.0
"""However many names do not answer: who has not by then is left out."""

OpenPeer = Callable[[Farmer], Peer]
Reputations = Mapping[FarmerId, Reputation]
NO_REPUTATIONS: Final[Reputations] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """Who answered, and what was wrong with those who did not."""

    candidates: tuple[Candidate, ...]
    silent: dict[FarmerId, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCandidates:
    """What there is to choose from for one order.

    `requirements` have what the market says of prices; `unfit` are those that the chain alone rules out.
    """

    requirements: Requirements
    registered: int
    candidates: tuple[Candidate, ...]
    beside: tuple[Candidate, ...]
    """Those that have slots of the order and were not asked."""
    silent: dict[FarmerId, str]
    unfit: dict[FarmerId, str]

    def priced(self, requirements: Requirements) -> Requirements:
        """Other requirements in the same market."""
        known = self.requirements
        return replace(requirements, price_floor=known.price_floor, highest_egress=known.highest_egress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    free_bytes: int
    networks: frozenset[str]


async def _know_none() -> Collection[FarmerId]:
    return ()


class FarmerDirectory:
    """Open it with `FarmerDirectory.open`."""

    def __init__(
        self,
        registry: Registry,
        signer: Signer,
        payments: ReadPayments,
        session: aiohttp.ClientSession,
        *,
        policy: RetryPolicy,
        freshness: Freshness | None = None,
        known: Callable[[], Awaitable[Collection[FarmerId]]] = _know_none,
        lists: AllowLists = NO_LISTS,
        limits: TransferLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        """`clock` gives seconds, `sleep` takes them; `known` gives farmers that have to be in a sample;
        `lists` say who may be chosen."""
        self.limits = limits or TransferLimits()
        self.signer = signer
        self.lists = lists
        self.payments = payments
        self.policy = policy
        self._registry = registry
        self._session = session
        self._freshness = freshness or Freshness()
        self._clock = clock
        self._sleep = sleep

        async def read() -> Registered:
            friends = [one.who for one in lists.allowed if isinstance(one.who, int)]
            return await registry.registered({*await known(), *friends})

        self._everybody = Aging(read, self._freshness, clock=clock)
        self._some: dict[FarmerId, tuple[Farmer, float]] = {}
        self._answers: dict[tuple[FarmerId, str], Aging[_Answer | str]] = {}
        self._gate = asyncio.Semaphore(MAX_PROBES_AT_ONCE)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        registry: Registry,
        signer: Signer,
        payments: ReadPayments,
        *,
        policy: RetryPolicy,
        freshness: Freshness | None = None,
        known: Callable[[], Awaitable[Collection[FarmerId]]] = _know_none,
        lists: AllowLists = NO_LISTS,
        limits: TransferLimits | None = None,
    ) -> AsyncIterator[Self]:
        """With an HTTP session of its own; `payments` pays for what is read from farmers, `limits` hold for
        all that goes to them and comes from them."""
        async with open_session(policy.timeouts, chain_id=signer.domain.chain_id) as session:
            directory = cls(
                registry,
                signer,
                payments,
                session,
                policy=policy,
                freshness=freshness,
                known=known,
                lists=lists,
                limits=limits,
            )
            try:
                yield directory
            finally:
                await directory.close()

    async def close(self) -> None:
        """End what goes on in the background."""
        await asyncio.gather(self._everybody.close(), *(answer.close() for answer in self._answers.values()))

    def forget(self) -> None:
        """What is known here led to a failure: ask again the next time."""
        self._everybody.forget()
        self._some.clear()
        for answer in self._answers.values():
            answer.forget()

    def peer(
        self, farmer: Farmer, payments: ReadPayments | None = None, most_per_gib: int | None = None
    ) -> Peer:
        """A farmer to talk to; to read a slot for which it has signed `most_per_gib`. Raises
        FarmerUnreachable for an endpoint that is not an address."""
        return Peer(
            farmer, self._session, self.signer, payments or self.payments, most_per_gib, limits=self.limits
        )

    @property
    def names(self) -> ListedNames:
        """How the person calls farmers."""
        return ListedNames(self.lists, operator_of=self.operator_of)

    def operator_of(self, farmer: FarmerId) -> Address | None:
        """Of a farmer that was read lately; asks nobody."""
        everybody = self._everybody.at_hand()
        known = None if everybody is None else everybody.farmers.get(farmer)
        if known is None and farmer in self._some:
            known = self._some[farmer][0]
        return None if known is None else known.operator

    async def registered(self) -> Registered:
        """Everybody, as the chain has them. Raises the errors of the chain."""
        return await self._everybody.get()

    async def by_id(self, farmers: Iterable[FarmerId]) -> dict[FarmerId, Farmer]:
        """Some of them, without those that the endpoint does not know. Raises the errors of the chain."""
        wanted = sorted(set(farmers))
        everybody = self._everybody.at_hand()
        known = dict(everybody.farmers) if everybody is not None else {}
        oldest = self._clock() - self._freshness.fresh_seconds
        known |= {one.id: one for one, since in self._some.values() if since > oldest}
        missing = [farmer for farmer in wanted if farmer not in known]
        if missing:
            now = self._clock()
            found = await read_some(self._registry, missing)
            fresh = {one.id: (one, since) for one, since in self._some.values() if since > oldest}
            self._some = fresh | {farmer.id: (farmer, now) for farmer in found.values()}
            known |= found
        return {farmer: known[farmer] for farmer in wanted if farmer in known}

    async def probe(self, farmers: Sequence[Farmer], reputations: Reputations = NO_REPUTATIONS) -> Probed:
        """Ask farmers how they are, side by side; who has not answered in PROBING_SECONDS is silent."""
        answers: dict[FarmerId, _Answer | str] = {}

        async def one(farmer: Farmer) -> None:
            answers[farmer.id] = await self._answer_of(farmer).get()

        asking = asyncio.create_task(all_of(map(one, farmers)))
        waiting = asyncio.create_task(self._sleep(PROBING_SECONDS))
        try:
            await asyncio.wait({asking, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                asking.result()
        finally:
            await cancelled([asking, waiting])
        candidates: list[Candidate] = []
        silent: dict[FarmerId, str] = {}
        for farmer in sorted(farmers, key=lambda one: one.id):
            answer = answers.get(farmer.id, f"Farmer {farmer.id} did not answer in time.")
            if isinstance(answer, str):
                silent[farmer.id] = answer
                continue
            candidates.append(
                Candidate(
                    farmer=farmer,
                    free_bytes=answer.free_bytes,
                    networks=answer.networks,
                    reputation=reputations.get(farmer.id, UNKNOWN),
                    is_friend=is_friend(self.lists, farmer),
                )
            )
        return Probed(candidates=tuple(candidates), silent=silent)

    async def find_candidates(
        self,
        requirements: Requirements,
        *,
        reputations: Reputations = NO_REPUTATIONS,
        keepers: Collection[FarmerId] = (),
        beside: Collection[FarmerId] = (),
        excluded: Collection[FarmerId] = (),
        at_most: int = MAX_ASKED,
        listener: Listener = ignore_progress,
    ) -> FoundCandidates:
        """Look for farmers that could take a slot, `at_most` of them, however many are registered.

        `keepers` have slots already: they are asked whatever the chain says of them. Those `beside` have
        slots of the order and are not asked, nor are those `excluded`, nor whom the lists leave out. Raises
        the errors of the chain.
        """
        registered = await self.registered()
        ours = await self.by_id({*keepers, *(one for one in beside if one not in registered.farmers)})
        there = {**registered.farmers, **ours}
        farmers = [*there.values()]
        proving = registered.proving
        requirements = replace(
            requirements,
            price_floor=price_floor(farmers, proving),
            highest_egress=highest_egress(farmers, proving, requirements.epochs),
        )
        for farmer in _asking_a_ransom(farmers, proving, reputations):
            price = farmer.offer.egress_price_per_gib
            listener(ReadingPriceRaised(farmer=farmer.id, price_per_gib=price))
        unfit = {
            farmer.id: reason
            for farmer in farmers
            if (reason := self._unfit(farmer, requirements, reputations))
        }
        refused = {farmer.id: reason for farmer in farmers if (reason := refusal_of(self.lists, farmer))}
        left_out = unfit.keys() | {*keepers, *beside, *excluded}
        known = {farmer for farmer, record in reputations.items() if record.successes or record.kept}
        if requirements.own is not None:
            known.add(requirements.own)
        known |= {farmer.id for farmer in farmers if is_friend(self.lists, farmer)}
        asked = [farmer for farmer in farmers if farmer.id in keepers and farmer.id not in refused]
        asked += prospects(
            (farmer for farmer in farmers if farmer.id not in left_out),
            known=known,
            proven=proving,
            seed=requirements.shuffle_seed,
            at_most=at_most,
        )
        probed, located = await asyncio.gather(
            self.probe(asked, reputations),
            self._locate([there[farmer] for farmer in beside if farmer in there]),
        )

        def with_terms(found: Sequence[Candidate]) -> tuple[Candidate, ...]:
            terms = {one.farmer.id: reputations.get(one.farmer.id, UNKNOWN).kept for one in found}
            return tuple(
                replace(one, kept_epochs=epochs_kept(terms[one.farmer.id], registered.epoch)) for one in found
            )

        return FoundCandidates(
            requirements=requirements,
            registered=registered.count,
            candidates=with_terms(probed.candidates),
            beside=with_terms(located),
            silent=probed.silent | {one: f"It {refused[one]}." for one in keepers if one in refused},
            unfit=unfit,
        )

    def _unfit(self, farmer: Farmer, requirements: Requirements, reputations: Reputations) -> str:
        """Why a farmer need not be asked; empty if it is to be."""
        return (
            refusal_of(self.lists, farmer)
            or reputations.get(farmer.id, UNKNOWN).distrust
            or unfit_on_chain(farmer, needed_of(requirements, is_friend=is_friend(self.lists, farmer)))
        )

    async def _locate(self, farmers: Sequence[Farmer]) -> list[Candidate]:
        """Farmers that need not be asked, with the networks that they are in as far as these are known."""

        async def one(farmer: Farmer) -> Candidate:
            try:
                with dealing_with(farmer.id):
                    networks = await networks_of(farmer)
            except FARMER_FAULTS:
                networks = frozenset()
            return Candidate(
                farmer=farmer,
                free_bytes=0,
                networks=networks,
                is_friend=is_friend(self.lists, farmer),
            )

        return await asyncio.gather(*map(one, farmers))

    def _answer_of(self, farmer: Farmer) -> Aging[_Answer | str]:
        key = farmer.id, farmer.endpoint
        if key not in self._answers:
            if len(self._answers) >= MAX_ANSWERS:
                # Anyone who runs for long would else remember all that ever asked to be chosen.
                self._answers = {one: held for one, held in self._answers.items() if held.is_of_use()}
            self._answers[key] = Aging(lambda: self._ask(farmer), self._freshness, clock=self._clock)
        return self._answers[key]

    async def _ask(self, farmer: Farmer) -> _Answer | str:
        """What a farmer says of itself, or what is wrong with it."""
        async with self._gate:
            try:
                async with asyncio.timeout(PROBING_SECONDS):
                    with dealing_with(farmer.id):
                        info = await self.peer(farmer).greet()
                        networks = await networks_of(farmer)
            except FARMER_FAULTS as error:
                return error.message
            except TimeoutError:
                return f"Farmer {farmer.id} did not answer in time."
        return _Answer(free_bytes=info.free_bytes, networks=networks)


def _asking_a_ransom(
    farmers: Sequence[Farmer], proving: Collection[FarmerId], reputations: Reputations
) -> list[Farmer]:
    """Those that keep something of ours and ask far more for reading than others, and than when they took it.

    Anyone who asks what it always asked has raised nothing, whatever others ask since: prices fall, and
    anyone with stake enough can move the median.
    """
    sellers = [
        (farmer, record)
        for farmer in farmers
        if (record := reputations.get(farmer.id, UNKNOWN)).kept
        and record.agreed is not None
        and farmer.offer.egress_price_per_gib > record.agreed
    ]
    longest = max((end - start for _, record in sellers for start, end in record.kept), default=0)
    most = highest_egress(farmers, proving, longest) if sellers else 0
    return [farmer for farmer, _ in sellers if farmer.offer.egress_price_per_gib > most]
