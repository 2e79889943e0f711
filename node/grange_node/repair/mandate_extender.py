"""Extending orders whose renters gave a mandate, for its fee.

An order is due in the last grid period of its time, if a mandate covers it, pays for the transaction and has
enough left, and the renter's vault has the money. Then its farmers are asked, each for the slot that it
keeps; what all of them sign is sent. In the second half of the period a few may be missing: their slots begin
vacant. Who is only silent is waited for, as `grange.mandates` has it, and asked again several times in
an epoch; the others are asked once it answers. Several repairers take turns: who is first is another for each
order, and more of them may with every block.
Decides which orders are due and when it is our turn. Leaves asking to `grange.transfer.acceptance`, and who
keeps a slot that began vacant to repairs.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypeGuard

from grange.chain import Farmer, Head, Mandate, TransactionReverted
from grange.chain.call_sizes import extend
from grange.chain.gas_value import GasValue
from grange.chain.orders import OrderState
from grange.chain.witnesses import find_known_order
from grange.errors import UserError
from grange.mandates import may_leave_out
from grange.messages import extension_id
from grange.repair import first_block, most_bounty_rounded_down
from grange.tasks import together
from grange.transfer.acceptance import AcceptanceTerms, Keeper, SlotRequest, collect
from grange.transfer.retry import is_away
from grange.types import EXTENDED, NO_FARMER, Acceptance, Epoch, FarmerId, OrderId, Parameters
from grange.units import GIB, format_count
from grange_node.repair.directory import FollowedDirectory
from grange_node.repair.market import RepairMarket
from grange_node.repair.market_view import MarketView

MIN_LIFE_BLOCKS: Final = 5
"""For how long acceptances must be good: one transaction is left."""
MAX_PER_TICK: Final = 4
MAX_LOOKED_AT: Final = 64
"""Orders that are looked at in a tick: each asks the chain."""
TRIES_PER_EPOCH: Final = 8
"""How often farmers that do not answer are asked again."""
TURN_DOUBLING_BLOCKS: Final = 3
"""In so many blocks twice as many repairers may extend an order as before."""

Answers = dict[int, Acceptance | UserError]
"""By slot; nothing for a slot that no farmer has, or one that lapsed."""

log = logging.getLogger("grange.repair")


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateExtension:
    """An order that can be extended by mandate, and how."""

    order_state: OrderState
    mandate: Mandate
    end: Epoch
    highest_rate: int

    @property
    def id(self) -> OrderId:
        """Of what extends it."""
        return extension_id(self.order_state.id, self.end)

    @property
    def epochs(self) -> int:
        """For how long."""
        return self.end - self.order_state.end


class MandateExtender:
    """For one repairer. Extends one order after the other, so none twice at once."""

    def __init__(self, view: MarketView, directory: FollowedDirectory) -> None:
        self._view = view
        self._directory = directory
        self._seen: dict[OrderId, int] = {}
        """Orders that were tried and are not extended, and in which block they are looked at again."""
        self._away: dict[FarmerId, tuple[int, UserError]] = {}
        """Who was silent, for whatever order, until which block it is left alone, and what was seen."""
        self._refused: dict[OrderId, tuple[Epoch, int]] = {}
        """In which epoch all were asked for an order that waits, and how many of its slots were missing for
        another reason."""

    async def tick(self, gas: GasValue) -> list[OrderId]:
        """Extend what is due and pays for `gas`, some orders at a time; the ids of what extends them. Raises
        ChainError."""
        head, parameters = self._view.head, self._view.market.parameters
        epoch = self._view.next_epoch
        date = Epoch((epoch // parameters.grid_epochs + 1) * parameters.grid_epochs)
        self._seen = {order: block for order, block in self._seen.items() if block > head.number}
        extended: list[OrderId] = []
        ending = await self._view.ending(date)
        ids, farmers = {one.id for one in ending}, self._view.farmers
        self._refused = {order: one for order, one in self._refused.items() if order in ids}
        self._away = {farmer: one for farmer, one in self._away.items() if self._keeps(farmers, farmer)}
        ending = [one for one in ending if one.id not in self._seen]
        for order_state in [one for one in ending if self._is_our_turn(one, head)][:MAX_LOOKED_AT]:
            self._seen[order_state.id] = head.number + parameters.epoch_blocks
            due = await self._due(order_state, gas)
            if due is not None and await self._extend(due, epoch):
                extended.append(due.id)
                if len(extended) == MAX_PER_TICK:
                    break
        return extended

    def _is_our_turn(self, order_state: OrderState, head: Head) -> bool:
        parameters = self._view.market.parameters
        turn = first_block(
            order=order_state.id,
            slot=0,
            repairer=self._view.market.address,
            since_block=(order_state.end - parameters.grid_epochs) * parameters.epoch_blocks,
            repairers=sum(not farmer.lapsed for farmer in self._view.farmers.values()) + 1,
            doubling_blocks=TURN_DOUBLING_BLOCKS,
        )
        return head.number + 1 >= turn

    async def _due(self, order_state: OrderState, gas: GasValue) -> MandateExtension | None:
        """Whether an order can be extended now, and it pays."""
        market = self._view.market
        order = await find_known_order(market, order_state.id)
        if order is None or order.mandate in (0, EXTENDED) or order.slots_hash != order_state.slots_hash:
            return None
        mandate, vault = await together(
            market.mandate(order.renter, order.mandate), market.vault(order.renter)
        )
        if mandate is None or mandate.revoked or mandate.until <= order_state.end:
            return None
        due = MandateExtension(
            order_state=order_state,
            mandate=mandate,
            end=Epoch(min(order_state.end + mandate.term_epochs, mandate.until)),
            highest_rate=-(-mandate.highest_price * order_state.geometry.slot_bytes // GIB),
        )
        short = order_state.id.hex()[:12]
        if mandate.fee < gas.base_units(extend(order_state.n)):
            log.debug("order %s: its mandate does not pay for the transaction", short)
            return None
        if min(vault, mandate.left) < mandate.fee:
            log.debug("order %s: there is no money to extend it", short)
            return None
        return due

    async def _extend(self, due: MandateExtension, epoch: Epoch) -> bool:
        """Ask its farmers, and send what they signed. Once in an epoch all are asked; between, those that
        were silent, and the others only if the order need not wait for these any more."""
        order_state, short = due.order_state, due.order_state.id.hex()[:12]
        market = self._view.market
        everything = frozenset(range(order_state.n))
        silent = frozenset(slot for slot in everything if order_state.slots[slot].farmer in self._away)
        asked_epoch, refused = self._refused.get(order_state.id, (None, 0))
        signed: Answers = {}
        if asked_epoch == epoch:
            signed = await self._collect(due, silent)
            if not self._may_extend(due, signed, refused + _count_missing(signed, silent), epoch):
                self._look_again(due, signed)
                return False
        signed |= await self._collect(due, everything - signed.keys())
        missing = _count_missing(signed, everything)
        if not self._may_extend(due, signed, missing, epoch):
            self._refused[order_state.id] = epoch, missing - _count_silent(signed)
            why = "; ".join(
                f"slot {slot}: {signed.get(slot, 'nobody has it')}"
                for slot in everything
                if not isinstance(signed.get(slot), Acceptance)
            )
            count = format_count(missing, "farmer")
            log.info("order %s: %s missing to extend it: %s", short, count, why)
            self._look_again(due, signed)
            return False
        acceptances = [self._acceptance(due, slot, signed.get(slot)) for slot in range(order_state.n)]
        cost = cost_of(due, acceptances, market.parameters)
        if min(await market.vault(order_state.renter), due.mandate.left) < cost:
            log.info("order %s: its renter has not enough to extend it", short)
            return False
        try:
            receipt = await market.extend_by_mandate(order_state.held, acceptances)
        except TransactionReverted as error:
            log.info("order %s is not extended: %s", short, error.name)
            return False
        log.info("order %s extended until epoch %d, in block %d", short, due.end, receipt.block)
        return True

    def _may_extend(self, due: MandateExtension, signed: Answers, missing: int, epoch: Epoch) -> bool:
        order_state, parameters = due.order_state, self._view.market.parameters
        return may_leave_out(
            missing=missing,
            silent=_count_silent(signed),
            most=(order_state.n - order_state.k) // 2,
            left_epochs=order_state.end - epoch,
            grid_epochs=parameters.grid_epochs,
            max_misses=parameters.max_misses,
        )

    def _look_again(self, due: MandateExtension, signed: Answers) -> None:
        """Sooner than in an epoch if somebody was silent."""
        if _count_silent(signed):
            self._seen[due.order_state.id] = self._pause_ends()

    def _pause_ends(self) -> int:
        """The block in which silent farmers are asked again."""
        pause = self._view.market.parameters.epoch_blocks // TRIES_PER_EPOCH
        return self._view.head.number + max(1, pause)

    async def _collect(self, due: MandateExtension, slots: frozenset[int]) -> Answers:
        """What the farmers of these slots answer. Who was silent a moment ago, for whatever order, is not
        asked: it would be waited for with each of its orders."""
        farmers, now = self._view.farmers, self._view.head.number
        kept = {slot: due.order_state.slots[slot].farmer for slot in sorted(slots)}
        known: Answers = {
            slot: self._away[farmer][1]
            for slot, farmer in kept.items()
            if farmer in self._away and self._away[farmer][0] > now
        }
        requests = [
            SlotRequest(
                slot=slot,
                root=due.order_state.slots[slot].root,
                keeper=Keeper(farmer=farmers[farmer], rate=due.highest_rate),
            )
            for slot, farmer in kept.items()
            if slot not in known and self._keeps(farmers, farmer)
        ]
        market: RepairMarket = self._view.market
        terms = AcceptanceTerms(
            domain=market.domain,
            order=due.id,
            geometry=due.order_state.geometry,
            end=due.end,
            previous=due.order_state.id,
            repairer=market.address,
            highest_egress_price=due.mandate.highest_egress_price,
        )
        answers = await collect(
            requests,
            terms,
            open_peer=self._directory.peer,
            policy=self._directory.policy,
            deadline_block=now + MIN_LIFE_BLOCKS,
        )
        for slot, answer in answers.items():
            if _is_silent(answer):
                self._away[kept[slot]] = self._pause_ends(), answer
            else:
                self._away.pop(kept[slot], None)
        return answers | known

    @staticmethod
    def _keeps(farmers: Mapping[FarmerId, Farmer], farmer: FarmerId) -> bool:
        return farmer in farmers and not farmers[farmer].lapsed

    @staticmethod
    def _acceptance(due: MandateExtension, slot: int, signed: Acceptance | UserError | None) -> Acceptance:
        """What its farmer signed, or nobody's."""
        if isinstance(signed, Acceptance):
            return signed
        kept = due.order_state.slots[slot]
        return Acceptance(
            farmer=NO_FARMER,
            root=kept.root,
            rate=min(kept.rate, due.highest_rate),
            max_egress_price_per_gib=min(kept.max_egress_price_per_gib, due.mandate.highest_egress_price),
            deadline_block=0,
            r=bytes(32),
            vs=bytes(32),
        )


def _is_silent(answer: Acceptance | UserError) -> TypeGuard[UserError]:
    return not isinstance(answer, Acceptance) and is_away(answer)


def _count_silent(signed: Answers) -> int:
    return sum(map(_is_silent, signed.values()))


def _count_missing(signed: Answers, slots: Collection[int]) -> int:
    return sum(not isinstance(signed.get(slot), Acceptance) for slot in slots)


def cost_of(due: MandateExtension, acceptances: list[Acceptance], parameters: Parameters) -> int:
    """What the extension takes out of the renter's vault."""
    aside = sum(
        most_bounty_rounded_down(
            rate=one.rate,
            epochs=due.epochs,
            loss_per_miss=parameters.penalty + parameters.fine,
            collateral_epochs=parameters.collateral_epochs,
        )
        for one in acceptances
        if one.farmer == NO_FARMER
    )
    return sum(one.rate for one in acceptances) * due.epochs + aside + due.mandate.fee
