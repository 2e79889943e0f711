"""What the chain says of the farmers of a market, at one time.

Registered       the values
Registry         where they come from: the market of a renter, or of a repairer, which follows the chain

What a farmer has proven and missed is in its own view, so no proofs are read to choose among them. Of a large
market only a sample is read, MAX_READ farmers: those we know, some out of the proofs of the last epochs, some
by chance. docs/adr/0098-a-sample-of-a-large-market.md says why these.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from grange.chain.errors import TransactionReverted
from grange.chain.gateway import Chain
from grange.chain.proofs import some_proven
from grange.chain.views import Farmer, Head
from grange.tasks import together
from grange.types import NO_FARMER, Epoch, FarmerId, Parameters

MAX_READ = 1_000
"""Farmers that are read for a choice, however many are registered."""
SAMPLE = 900
"""Of these, those in a sample: a page was read before it is known that there are too many."""
MAX_KNOWN_READ = 200
"""Of these, those that we know at most."""
NEWCOMERS_READ = 200
"""Of these, those that are read by chance at least."""
UNKNOWN_FARMER = "UnknownFarmer"
"""The contract's word for an id that no farmer has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """All farmers as they stand in an epoch, or a sample of them."""

    epoch: Epoch
    farmers: Mapping[FarmerId, Farmer]
    left_out: int = 0
    """How many more are registered."""

    @property
    def count(self) -> int:
        """How many are registered; their ids are 1 to this number."""
        return len(self.farmers) + self.left_out

    @property
    def proving(self) -> set[FarmerId]:
        """Those that have proven and keep something: had they missed `max_misses` epochs one after the other,
        they would have lapsed."""
        return {
            farmer.id
            for farmer in self.farmers.values()
            if farmer.epochs_proven and farmer.committed_rate and not farmer.lapsed
        }


class Registry(Protocol):
    """Where it comes from. Raises the errors of `grange.chain`."""

    @property
    def parameters(self) -> Parameters:
        """The market's constants."""

    async def registered(self, known: Collection[FarmerId] = ()) -> Registered:
        """All farmers; of very many a sample, with those in it that are `known`."""

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        """Some of them, in the order asked for; TransactionReverted if there is no such farmer."""


async def read_registered(
    chain: Chain, known: Collection[FarmerId] = (), *, chance: random.Random | None = None
) -> Registered:
    """All farmers, out of the chain, or a sample if there are more than MAX_READ. Raises the errors of the
    chain. `chance` makes the choice: by default one that nobody can foresee."""
    head, (farmers, count) = await together(chain.head(), chain.farmers_unless_more(MAX_READ))
    if count > MAX_READ:
        return await _read_sample(chain, head, count, known, chance or random.SystemRandom())
    return Registered(epoch=head.epoch, farmers={farmer.id: farmer for farmer in farmers})


async def _read_sample(
    chain: Chain, head: Head, count: int, known: Collection[FarmerId], chance: random.Random
) -> Registered:
    there = sorted({farmer for farmer in known if farmer <= count})
    chosen = set(chance.sample(there, min(len(there), MAX_KNOWN_READ)))
    proving = await some_proven(
        chain,
        epochs=chain.parameters.max_misses,
        at_most=SAMPLE - NEWCOMERS_READ - len(chosen),
        farmers=count,
        head=head,
        chance=chance,
    )
    chosen |= {farmer for farmer in proving if farmer <= count}
    while len(chosen) < SAMPLE:
        chosen.add(FarmerId(chance.randint(1, count)))
    by_id = {farmer.id: farmer for farmer in await chain.farmers_by_id(sorted(chosen))}
    return Registered(epoch=head.epoch, farmers=by_id, left_out=count - len(by_id))


async def read_some(registry: Registry, farmers: Sequence[FarmerId]) -> dict[FarmerId, Farmer]:
    """Those of some farmers that the endpoint knows: one that is behind does not know the newest. NO_FARMER
    is none."""
    farmers = [one for one in farmers if one != NO_FARMER]
    if not farmers:
        return {}
    try:
        found = await registry.farmers_by_id(farmers)
    except TransactionReverted as error:
        if error.name != UNKNOWN_FARMER:
            raise
        registered = await registry.registered()
        if not registered.left_out:
            return {one: registered.farmers[one] for one in farmers if one in registered.farmers}
        found = await registry.farmers_by_id([one for one in farmers if one <= registered.count])
    return {farmer.id: farmer for farmer in found}
