"""Who is to keep a new order, and the code that they make possible.

Decides what follows when fewer farmers than wanted can take a part: a smaller code where the choice is ours,
and the error that names the largest that would do. Whom to ask is the directory's, who is best `selection`'s.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

from grange.transfer.directory import FarmerDirectory, FoundCandidates, Reputations
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import Listener
from grange.transfer.selection import Choice, Requirements, choose
from grange_client.errors import NothingToStore
from grange_client.orders.plan import LARGE_CODE_FROM_FARMERS, StoreOptions, codes_for

RequirementsOf = Callable[[int, int], Requirements]
"""What an order asks of each farmer, for a code of k and n."""


async def choose_farmers(
    directory: FarmerDirectory,
    options: StoreOptions,
    requirements_of: RequirementsOf,
    *,
    reputations: Reputations,
    watch: Listener,
) -> tuple[Requirements, Choice]:
    """Who is to keep a new order, and what is asked of them.

    Raises NothingToStore for options that make no code, NotEnoughFarmers, and the errors of the chain.
    """
    # Of all codes that may come of it this one asks the least of each farmer.
    least = requirements_of(*codes_for(options, LARGE_CODE_FROM_FARMERS)[0])
    found = await directory.find_candidates(least, reputations=reputations, listener=watch)
    for requirements, choice in _choices(options, found, requirements_of):
        if len(choice.ranked) >= requirements.n:
            return requirements, replace(choice, unfit=found.unfit | choice.unfit)
    raise _too_few(options, found, requirements_of)


def _choices(
    options: StoreOptions, found: FoundCandidates, requirements_of: RequirementsOf
) -> Iterator[tuple[Requirements, Choice]]:
    """What the codes lead to that options leave open, the best first, as far as the data fits into them."""
    for k, n in codes_for(options, len(found.candidates)):
        requirements = found.priced(requirements_of(k, n))
        yield requirements, choose(found.candidates, requirements)


def _too_few(
    options: StoreOptions, found: FoundCandidates, requirements_of: RequirementsOf
) -> NotEnoughFarmers:
    """What is missing for the code that was asked for, and the largest that would do."""
    requirements, fitting = next(_choices(options, found, requirements_of))
    possible = None
    with suppress(NothingToStore):
        choices = _choices(StoreOptions(), found, requirements_of)
        possible = next((other.n for other, choice in choices if len(choice.ranked) >= other.n), None)
    reasons = found.silent | found.unfit | fitting.unfit
    n, there = requirements.n, len(fitting.ranked)
    can = f"{there} of the {found.registered} that are registered can take a part."
    return NotEnoughFarmers(
        f"{n} farmers are needed, and {can}" if n > 1 else f"A farmer is needed, and {can}",
        failures={f"farmer {farmer}": reason for farmer, reason in reasons.items()},
        missing=n - there,
        detail="Nothing was sent and nothing is paid.",
        hint=f"Store it with --n {possible}, which they can take, or when more farmers are there."
        if possible
        else "Store it for fewer --epochs, or when more farmers are there.",
    )
