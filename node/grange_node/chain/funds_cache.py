"""What accounts have, as the chain said a while ago, so that it need not be asked for every request.

An address costs nothing to make, so strangers can ask without end. What is remembered is bounded, and so is
what is asked, lest we become a burden to the chain's endpoint, which would keep our proofs from it:

    an account seen with enough     is remembered apart: nobody without money pushes it out; asked about
                                    again from an allowance and in turns of its own
    any other                       asked about from the strangers' allowance, in which every network has its
                                    share (`fair_shares`)

Of those who wait for an endpoint that hangs, all fail with the first (`turns`). Decided here: all this. Left
to others: what is asked, how long it is believed, and what is enough (`account_funds`, `vault_funds`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from grange.chain import ChainError
from grange_node.elapsed import elapsed
from grange_node.errors import ChainDown, TooBusy
from grange_node.limits.fair_shares import Allowance
from grange_node.limits.networks import Network
from grange_node.limits.turns import Turns

MAX_FUNDED: Final = 10_000
MAX_SHORT: Final = 1_000
MAX_FUNDED_SECONDS: Final = 24 * 3600.0
"""How long an account that had enough is told from strangers by that."""
MAX_QUESTIONS_AT_ONCE: Final = 8
"""Of accounts that had enough, and as many of others."""
QUESTIONS_PER_SECOND: Final = 4.0
QUESTIONS_IN_A_ROW: Final = 100
"""About strangers; so many may come at once after a quiet time. Each is some requests to the endpoint, and
providers allow some dozens a second."""
FUNDED_QUESTIONS_PER_SECOND: Final = 20.0
FUNDED_QUESTIONS_IN_A_ROW: Final = 1_000
"""About accounts that had enough."""

A = TypeVar("A", bound=Hashable)
F = TypeVar("F")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer(Generic[F]):
    funds: F
    seen_at: float
    is_doubtful: bool = False
    """Whether it is of no use but to tell the account from strangers."""


class FundsCache(Generic[A, F]):
    """The funds of accounts: A names one, F is what the chain says of it."""

    def __init__(
        self,
        ask: Callable[[A], Awaitable[F]],
        clock: Callable[[], float],
        *,
        max_age_seconds: float,
        max_shortage_age_seconds: float,
        max_funded: int = MAX_FUNDED,
    ) -> None:
        """`ask` asks the chain about an account and raises ChainError; `clock` gives seconds. Funds that are
        enough are believed for `max_age_seconds`, others for `max_shortage_age_seconds`."""
        self._ask = ask
        self._clock = clock
        self._max_age_seconds = max_age_seconds
        self._max_shortage_age_seconds = max_shortage_age_seconds
        self._max_funded = max_funded
        self._funded: OrderedDict[A, _Answer[F]] = OrderedDict()
        self._short: OrderedDict[A, _Answer[F]] = OrderedDict()
        self._funded_turns = Turns(MAX_QUESTIONS_AT_ONCE, ChainDown, clock)
        self._stranger_turns = Turns(MAX_QUESTIONS_AT_ONCE, ChainDown, clock)
        self._funded_allowance = Allowance(FUNDED_QUESTIONS_IN_A_ROW, FUNDED_QUESTIONS_PER_SECOND, clock)
        self._stranger_allowance = Allowance(QUESTIONS_IN_A_ROW, QUESTIONS_PER_SECOND, clock)

    def __len__(self) -> int:
        return len(self._funded) + len(self._short)

    async def find(self, account: A, network: Network, covers: Callable[[F], bool]) -> F:
        """What an account has, lately enough to go by; `covers` says whether that is enough, and decides how
        old it may be. `network` is that of who asks. Raises ChainDown when nobody can say, TooBusy when too
        much was asked."""
        answer = self._known(account, covers)
        if answer is not None:
            return answer.funds
        is_funded = self._was_funded(account)
        allowance = self._funded_allowance if is_funded else self._stranger_allowance
        if not allowance.may_use(network):
            raise TooBusy("too many whom this farmer does not know ask at once; try again in a minute")
        async with (self._funded_turns if is_funded else self._stranger_turns).turn():
            answer = self._known(account, covers)
            if answer is None:
                answer = await self._fetch(account)
                self._remember(account, answer, is_funded=covers(answer.funds))
        return answer.funds

    async def ask(self, account: A) -> F:
        """What the chain says now. Raises ChainDown."""
        answer = await self._fetch(account)
        self._remember(account, answer, is_funded=account in self._funded)
        return answer.funds

    def forget(self, account: A) -> None:
        """Ask again next time. An account that had enough is still no stranger."""
        self._short.pop(account, None)
        answer = self._funded.get(account)
        if answer is not None:
            self._funded[account] = replace(answer, is_doubtful=True)

    def _known(self, account: A, covers: Callable[[F], bool]) -> _Answer[F] | None:
        answer = self._funded.get(account) or self._short.get(account)
        if answer is None or answer.is_doubtful:
            return None
        limit = self._max_age_seconds if covers(answer.funds) else self._max_shortage_age_seconds
        return answer if elapsed(answer.seen_at, self._clock()) <= limit else None

    def _was_funded(self, account: A) -> bool:
        answer = self._funded.get(account)
        return answer is not None and elapsed(answer.seen_at, self._clock()) <= MAX_FUNDED_SECONDS

    async def _fetch(self, account: A) -> _Answer[F]:
        try:
            funds = await self._ask(account)
        except ChainError as error:
            raise ChainDown.because(error) from error
        return _Answer(funds=funds, seen_at=self._clock())

    def _remember(self, account: A, answer: _Answer[F], *, is_funded: bool) -> None:
        self._funded.pop(account, None)
        self._short.pop(account, None)
        answers, limit = (self._funded, self._max_funded) if is_funded else (self._short, MAX_SHORT)
        answers[account] = answer
        while len(answers) > limit:
            answers.popitem(last=False)
