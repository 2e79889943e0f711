"""What two endpoints have confirmed, for the time in which only one of them answers (docs/adr/0199).

    confirmed = Confirmed[Address](clock)
    says_yes = await confirmed.ask(wallet, lambda by_two: market.is_approved(wallet, ..., by_two=by_two))

Two must say that somebody may act in another's name. What they have said a while ago opens the name while no
second one answers: then one that says it now is enough. One that says no, and two that contradict each other,
count as ever. Kept in memory: after a restart two are needed once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from grange.chain import WitnessMissing
from grange_node.elapsed import elapsed
from grange_node.errors import ChainDown

CONFIRMED_SECONDS: Final = 24 * 3600.0
"""For so long one endpoint may say alone what two have said. Most outages are shorter."""
MAX_CONFIRMED: Final = 10_000
ONE_ANSWERS: Final = (
    "only one of this farm's chain endpoints answers at the moment, and that somebody acts for this account "
    "takes two the first time in a day; try again when another answers, or with other farmers"
)

Name = TypeVar("Name", bound=Hashable)


class Confirmed(Generic[Name]):
    """Which names two endpoints have said yes to, and when."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._said_at: OrderedDict[Name, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._said_at)

    async def ask(self, name: Name, ask: Callable[[bool], Awaitable[bool]]) -> bool:
        """Whether the endpoints say yes to a name: two of them, or one alone to what two have said lately.
        `ask` asks them, by two if it is given True. Raises ChainDown where only one answers and that is not
        enough, and ChainError."""
        try:
            says_yes = await ask(True)
        except WitnessMissing as error:
            if not self._is_known(name):
                raise ChainDown(ONE_ANSWERS, detail=f"({error})") from error
            return await ask(False)
        self._said_at.pop(name, None)
        if says_yes:
            self._said_at[name] = self._clock()
        while len(self._said_at) > MAX_CONFIRMED:
            self._said_at.popitem(last=False)
        return says_yes

    def _is_known(self, name: Name) -> bool:
        said_at = self._said_at.get(name)
        return said_at is not None and elapsed(said_at, self._clock()) <= CONFIRMED_SECONDS
