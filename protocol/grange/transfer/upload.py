"""All slots of an order stored and accepted, whichever farmers do it: of a new order, or of an extension.

    async with OrderUpload(terms=..., keepers=..., candidates=..., ...) as upload:
        await upload.store()
        acceptances = await upload.acceptances(deadline_block=...)
        ...                       # the market takes them, or says which farmer it does not take:
        upload.replace_refused(error)

Until the order is placed nothing is paid. An error that leaves the upload gives it up: farmers are told to
forget what they were sent, unless it `leaves_staged`, or is one that `can_resume`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Self

from grange.chain import TransactionReverted
from grange.errors import UserError
from grange.peer import FarmerRefused
from grange.transfer.acceptance import AcceptanceTerms, Keeper, SlotRequest, collect
from grange.transfer.directory import OpenPeer
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import Listener, Step
from grange.transfer.push import MakePieces, SlotPush
from grange.transfer.retry import RetryPolicy
from grange.transfer.slot_upload import Candidates
from grange.types import Acceptance, FarmerId

TooFew = Callable[[Mapping[FarmerId, str]], NotEnoughFarmers]
"""What to say when no farmer is left, out of what was wrong with those that were tried."""


class OrderUpload:
    """One attempt to get the acceptances of all n slots of one order."""

    def __init__(
        self,
        *,
        terms: AcceptanceTerms,
        keepers: Mapping[int, Keeper],
        candidates: Iterable[Keeper],
        make_pieces: MakePieces,
        root_of: Callable[[int], bytes],
        name_pass: Callable[[int, bool], str],
        too_few: TooFew,
        open_peer: OpenPeer,
        policy: RetryPolicy,
        listen: Listener,
        is_rebuilt: bool = False,
        is_resumed: bool = False,
        can_resume: bool = False,
        whole: Collection[int] = (),
    ) -> None:
        """`root_of` gives a slot's root once all its pieces were made; `name_pass` what to call a pass over
        so many slots, the first of all or a later one. `can_resume` says that another attempt makes the same
        pieces for the same order: then farmers keep what they have, however this one ends. See SlotPush for
        `is_rebuilt`, `is_resumed` and `whole`."""
        self._terms = terms
        self._candidates = Candidates(candidates)
        self._push = SlotPush(
            order=terms.order,
            geometry=terms.geometry,
            keepers=keepers,
            candidates=self._candidates,
            make_pieces=make_pieces,
            open_peer=open_peer,
            policy=policy,
            listen=listen,
            is_rebuilt=is_rebuilt,
            is_resumed=is_resumed,
            whole=whole,
        )
        self._root_of = root_of
        self._name_pass = name_pass
        self._too_few = too_few
        self._open_peer = open_peer
        self._policy = policy
        self._listen = listen
        self._accepted: dict[int, Acceptance] = {}
        self._is_first_pass = True
        self._can_resume = can_resume
        self.leaves_staged = False
        """Whether farmers keep what they were sent, until their acceptances lapse, when this is cut short."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and not self.leaves_staged and not self._can_resume:
            self._push.drop_all()
        await self._push.__aexit__(kind, *error)

    async def acceptances(self, *, deadline_block: int) -> list[Acceptance]:
        """Those of all slots, good until `deadline_block` at least; what is held already is kept.

        Raises NotEnoughFarmers, and what making the pieces raises.
        """
        while True:
            await self.store()
            self._accepted = {
                slot: one for slot, one in self._accepted.items() if one.deadline_block >= deadline_block
            }
            await self._collect(deadline_block)
            if len(self._accepted) == self._terms.geometry.n:
                return [one for _, one in sorted(self._accepted.items())]

    def replace_refused(self, error: TransactionReverted) -> bool:
        """Give the slot of a farmer that the market does not take to another; False if it names none.

        Raises NotEnoughFarmers.
        """
        farmer = error.args_by_name.get("farmer")
        for slot, acceptance in self._accepted.items():
            if acceptance.farmer == farmer:
                reason = f"The market does not take farmer {farmer}: {error.name}."
                self._replace(slot, FarmerRefused(reason, status=0, code=error.name))
                return True
        return False

    async def store(self) -> None:
        """Send every slot's pieces to its keeper. Raises NotEnoughFarmers, and what making them raises."""
        while segments := await self._push.missing_segments():
            geometry, slots = self._terms.geometry, self._push.missing_slots
            what = self._name_pass(len(slots), self._is_first_pass)
            self._is_first_pass = False
            self._listen(Step(what=what, total_bytes=len(segments) * geometry.k * geometry.block_bytes))
            if await self._push.send(segments):
                raise self._too_few(self._candidates.failures)

    async def _collect(self, deadline_block: int) -> None:
        """Ask for what is missing; keepers that give none are replaced, or get again what they lost."""
        self._listen(Step(what="Asking for acceptances"))
        keepers, was_exhausted = self._push.keepers, self._candidates.is_exhausted
        answers = await collect(
            [
                SlotRequest(slot=slot, root=self._root_of(slot), keeper=keeper)
                for slot, keeper in keepers.items()
                if slot not in self._accepted
            ],
            self._terms,
            open_peer=self._open_peer,
            policy=self._policy,
            deadline_block=deadline_block,
            is_last=lambda: self._candidates.is_exhausted,
        )
        for slot, answer in answers.items():
            if isinstance(answer, Acceptance):
                self._accepted[slot] = answer
            elif await self._push.look_again(slot, answer):
                continue
            elif was_exhausted or not self._candidates.is_exhausted:
                self._replace(slot, answer)
            # Else the last candidate has just gone to another slot: this one is asked again, and waited for.

    def _replace(self, slot: int, error: UserError) -> None:
        self._accepted.pop(slot, None)
        if not self._push.replace(slot, error):
            raise self._too_few(self._candidates.failures)
