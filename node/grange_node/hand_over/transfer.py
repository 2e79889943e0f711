"""One slot on its way to the farmer that takes it.

    taker chosen --> pieces sent --> acceptance --> (the market's turn)
         ^   on disk     |               |
         '-- it fails: another ----------'

Nothing is lost with the process: the taker is on disk before the first piece is sent, what it has is asked of
it, and an acceptance is given again for the asking. Nothing here costs anything but the line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

from grange.chain.orders import OrderState
from grange.errors import UserError
from grange.executors import Executors
from grange.messages import Domain
from grange.peer import FarmerRefused
from grange.transfer.acceptance import Keeper
from grange.transfer.events import ignore_progress
from grange.transfer.push import SlotPush
from grange.transfer.slot_upload import Candidates, Piece
from grange.types import FarmerId, Takeover
from grange.wire.codes import ErrorCode
from grange_node.errors import HandOverStopped
from grange_node.hand_over.list_file import NO_TAKER, HandOver, HandOverList
from grange_node.hand_over.takers import TakerDirectory
from grange_node.pieces.store import Store
from grange_node.repair.takeovers import collect_takeovers
from grange_node.slot_key import SlotKey

MAX_TAKERS_TRIED: Final = 5
"""For one slot, before others have their turn."""
NO_TAKERS: Final = "no farmer that answers takes it"

log = logging.getLogger("grange.farm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every transfer of a farm has in common."""

    farmer: FarmerId
    domain: Domain
    store: Store
    hand_overs: HandOverList
    executors: Executors
    reading: Callable[[SlotKey, int], AbstractAsyncContextManager[None]]
    """What is met in its body while a piece is read is damage, to be mended."""


class Transfer:
    """One slot. `hand_over` is how far it is, `order_state` its order, as it was looked at last."""

    def __init__(
        self,
        hand_over: HandOver,
        key: SlotKey,
        order_state: OrderState,
        directory: TakerDirectory,
        setting: Setting,
    ) -> None:
        self.hand_over = hand_over
        self.order_state = order_state
        self._key = key
        self._directory = directory
        self._setting = setting
        self._has_sent = False

    async def send(self) -> None:
        """See that a taker has all pieces. Raises HandOverStopped when none takes it; ChainError,
        PieceMissing, PieceDamaged, StoreFailed."""
        for _ in range(MAX_TAKERS_TRIED):
            if self.hand_over.taker == NO_TAKER:
                await self._choose()
            if (failure := await self._push()) is None:
                return
            await self.decline(failure)
        raise HandOverStopped(f"{MAX_TAKERS_TRIED} farmers did not take it, one after the other")

    async def accept(self, deadline_block: int) -> Takeover:
        """What the taker signs, good up to `deadline_block` at least. Raises HandOverStopped if it does not,
        and ChainError."""
        slot = self.hand_over.slot
        takeovers, failed = await collect_takeovers(
            self.order_state,
            {slot: self._keeper()},
            domain=self._setting.domain,
            giver=self._setting.farmer,
            open_peer=self._directory.peer,
            policy=self._directory.policy,
            deadline_block=deadline_block,
        )
        if slot in failed:
            error = failed[slot]
            await self._see_unsigned(error)
            raise HandOverStopped(error.message) from error
        return takeovers[0]

    async def decline(self, error: UserError) -> None:
        """The taker does not take it: another is asked the next time."""
        taker = self.hand_over.taker
        log.info("%s: farmer %d does not take it: %s", self.hand_over, taker, error.message)
        declined = (*self.hand_over.declined, taker)
        await self._save(replace(self.hand_over, taker=NO_TAKER, declined=declined, note=error.message))

    async def _see_unsigned(self, error: UserError) -> None:
        """The taker had all of it and does not sign. One that says that it lost pieces is sent these again,
        once: else it could have us send them without end. One that has them still, and has signed for as much
        of ours as it will, may sign when that has passed."""
        taker = self.hand_over.taker
        if self._has_sent or not _is_busy(error):
            await self._save(replace(self.hand_over, unsigned=(*self.hand_over.unsigned, taker)))
        if taker in self.hand_over.avoided or not _lost_pieces(error):
            await self.decline(error)

    async def note(self, why: str) -> None:
        """It does not go on at the moment."""
        if self.hand_over.note != why:
            await self._save(replace(self.hand_over, note=why))

    async def _choose(self) -> None:
        taker = await self._directory.find(
            self.order_state,
            self.hand_over.slot,
            wanted=self.hand_over.wanted,
            but={*self.hand_over.declined, *self.hand_over.avoided},
        )
        if taker is None:
            # The next time those are asked again who declined before, but for those that had it all and did
            # not sign.
            await self._save(replace(self.hand_over, declined=(), note=self.hand_over.note or NO_TAKERS))
            raise HandOverStopped(NO_TAKERS)
        await self._save(replace(self.hand_over, taker=taker, note=""))

    async def _push(self) -> UserError | None:
        """Send what the taker does not have; why it does not take it, if so."""
        slot, failures = self.hand_over.slot, dict[int, UserError]()
        async with SlotPush(
            order=self.hand_over.order,
            geometry=self.order_state.geometry,
            keepers={slot: self._keeper()},
            candidates=Candidates(more_elsewhere=True),
            make_pieces=self._read,
            open_peer=self._directory.peer,
            policy=self._directory.policy,
            listen=ignore_progress,
            is_rebuilt=True,
        ) as push:
            while not failures and (segments := await push.missing_segments()):
                failures = await push.send(segments)
        return failures.get(slot)

    async def _read(self, segment: int, slots: Sequence[int]) -> list[Piece]:
        """A piece out of our store: none goes out that is not what it was."""
        self._has_sent = True
        store = self._setting.store
        async with self._setting.reading(self._key, segment):
            data = await self._setting.executors.on_disk(store.read_verified, self._key, segment)
        held = store.piece(self._key, segment)
        assert held is not None, "it was just read"
        return [Piece(slot=slot, segment=segment, data=data, root=held.root) for slot in slots]

    def _keeper(self) -> Keeper:
        rate = self.order_state.slots[self.hand_over.slot].rate
        return Keeper(farmer=self._directory.farmer(self.hand_over.taker), rate=rate)

    async def _save(self, hand_over: HandOver) -> None:
        """Raises HandOverStopped when it is not to be handed over any more."""
        if not await self._setting.executors.in_database(self._setting.hand_overs.save, hand_over):
            raise HandOverStopped("it is not to be handed over any more")
        self.hand_over = hand_over


def _lost_pieces(error: UserError) -> bool:
    """Whether the taker has not all pieces any more, and is to get them again."""
    return isinstance(error, FarmerRefused) and error.status == HTTPStatus.NOT_FOUND


def _is_busy(error: UserError) -> bool:
    """Whether it may sign later."""
    return isinstance(error, FarmerRefused) and error.code == ErrorCode.LIMIT_REACHED
