"""Which farmers and repairers a farm deals with: all of them, or as the lists of its owner say.

    await farmers.refusal(signer)       "" or why this one reads nothing here, and extends nothing

An address on a list is a repairer's, or the operator's of a farmer. A farmer's id stands for what is its
operator now, which the chain is asked: for those on the lists alone, once in OPERATOR_SECONDS, in one go for
all who wait for it, and after a pause if it failed, so that no stranger can make the farm ask. Somebody else
may name a friend as the owner of a farmer, so owners say nothing here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from grange.allow_lists import AllowLists
from grange.chain import ChainError, Farmer, TransactionReverted
from grange.tasks import together
from grange.types import Address, FarmerId
from grange_node.errors import ChainDown
from grange_node.limits.turns import Turns
from grange_node.lists.followed_lists import FollowedLists

OPERATOR_SECONDS: Final = 60.0

FarmerById = Callable[[FarmerId], Awaitable[Farmer]]
"""A farmer as the chain has it. Raises ChainError; TransactionReverted if there is none of this id."""


class FarmerLists:
    """The lists of one farm as they are now. For one event loop."""

    def __init__(
        self, lists: FollowedLists, farmer_by_id: FarmerById, *, steady: Callable[[], float]
    ) -> None:
        """`steady` gives seconds by a clock that nobody sets."""
        self._lists = lists
        self._farmer_by_id = farmer_by_id
        self._steady = steady
        self._ids: dict[Address, FarmerId] = {}
        """Of the operators of those who are on a list by their id."""
        self._asked_for: frozenset[FarmerId] = frozenset()
        self._asked_at = 0.0
        self._turns = Turns(1, ChainDown, steady)

    async def load(self) -> None:
        """Read them. Raises ListInvalid: a farm that cannot read them does not start."""
        await self._lists.load()

    async def refusal(self, who: Address) -> str:
        """Why the lists leave somebody out, in words that follow a subject; empty if they don't. Raises
        ChainDown while that hangs on who a farmer's operator is and the chain was never asked."""
        lists = await self._lists.now()
        if not lists.allowed and not lists.denied:
            return ""
        farmer = (await self._operators(lists)).get(who)
        return lists.refusal(who) if farmer is None else lists.refusal(who, farmer)

    async def _operators(self, lists: AllowLists) -> dict[Address, FarmerId]:
        listed = (one.who for one in (*lists.allowed, *lists.denied))
        wanted = frozenset(who for who in listed if isinstance(who, int))
        if not wanted:
            return {}
        try:
            if not self._is_known(wanted):
                async with self._turns.turn():
                    # Who went before may have found it out.
                    if not self._is_known(wanted):
                        await self._ask(wanted)
        except ChainDown:
            if wanted != self._asked_for:
                raise
            # A friend stays one while the chain is away; its key is changed once in years.
        return self._ids

    def _is_known(self, wanted: frozenset[FarmerId]) -> bool:
        return wanted == self._asked_for and self._steady() - self._asked_at < OPERATOR_SECONDS

    async def _ask(self, wanted: frozenset[FarmerId]) -> None:
        try:
            found = await together(*(self._operator(farmer) for farmer in sorted(wanted)))
        except ChainError as error:
            raise ChainDown.because(error) from error
        self._ids = dict(one for one in found if one is not None)
        self._asked_for, self._asked_at = wanted, self._steady()

    async def _operator(self, farmer: FarmerId) -> tuple[Address, FarmerId] | None:
        """None for an id that nobody has: a slip of the pen leaves nobody else out."""
        try:
            return (await self._farmer_by_id(farmer)).operator, farmer
        except TransactionReverted:
            return None
