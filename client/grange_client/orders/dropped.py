"""Orders that a reorganisation dropped, and those whose client ended when their farmers had signed: placed
with what their farmers signed, while that holds.

The pieces are with the farmers still, and the money is back. Each command that reads the chain looks after
them. Decides which orders are placed again, and what is said of those that can't be. Leaves what is written
down to `placements` and `catalog`, sending to `market`.
"""

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace

from grange.chain import Head, Order, Receipt, TransactionReverted
from grange.chain.confirmations import FINAL_BLOCKS
from grange.chain.witnesses import WITNESSED_DEPTH_BLOCKS, Verdict, agreed_hash, agreed_order
from grange.errors import GrangeError
from grange.executors import Executors
from grange.messages import NO_ORDER
from grange.transfer.events import Listener, Step
from grange.types import Epoch, Held, OrderId
from grange_client.errors import UnknownOrder
from grange_client.orders.catalog import Catalog, Known
from grange_client.orders.lookup import SHOWN_ID_CHARACTERS, describe_order
from grange_client.orders.market import RenterMarket
from grange_client.orders.notes import Notes
from grange_client.orders.once import PLACED, send_once
from grange_client.orders.placements import NOT_MINED, Placement, Placements
from grange_client.orders.plan import Funds, missing_from_vault
from grange_client.orders.tenure_check import TenureCheck

ALL_EPOCHS = -1
AT_ONCE = replace(PLACED, awaited_blocks=0)
"""What another command has sent again is mentioned, and not waited for."""
MARGIN_BLOCKS = 2
"""Blocks for which the signatures must hold when an order is placed again."""
STORE_AGAIN = "Store it again with `grange orders put`, under the same name."


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftercare:
    """What looking after placed orders needs from its surroundings."""

    market: RenterMarket
    catalog: Catalog
    tenures: TenureCheck
    placements: Placements
    funds: Callable[[], Awaitable[Funds]]
    executors: Executors
    notes: Notes

    async def look(self, head: Head, watch: Listener) -> list[str]:
        """Place again what was dropped; what is to be said of it, in sentences.

        The catalog has just read the chain up to `head`. Nothing that goes wrong here is in the way of the
        command.
        """
        in_database = self.executors.in_database
        missing = {known.order.id: known for known in await in_database(self.catalog.missing, ALL_EPOCHS)}
        await in_database(self._forget_what_is_stored_again, missing.values())
        said = await self._look_at_placements(head, missing, watch)
        return said + await in_database(self._forget_older)

    async def _look_at_placements(
        self, head: Head, missing: Collection[OrderId], watch: Listener
    ) -> list[str]:
        placements = self.placements.all()
        if not placements:
            return []
        said = []
        orders = await self.executors.in_database(self.catalog.orders)
        on_chain = {known.order.id: known.order for known in orders}
        # What was extended begins before its extension, and has to be there first.
        for placement in sorted(placements, key=lambda placement: placement.order.start):
            order = placement.order
            block = on_chain[order.id].block if order.id in on_chain else None
            was_on_chain = order.block != NOT_MINED or order.id in missing
            if block is not None:
                if block + FINAL_BLOCKS <= head.number:
                    self.placements.forget(order.id)
                elif not was_on_chain:
                    # Anyone who sent it was cut short, and did not see it.
                    with suppress(GrangeError):
                        self.placements.note(placement.in_block(block, on_chain[order.id].start))
            elif placement.is_acknowledged and not self._is_abandoned(placement):
                continue
            elif placement.last_block - MARGIN_BLOCKS < head.number < placement.last_block:
                # Too late to send it; what was sent before may still be mined.
                continue
            elif head.number >= placement.last_block:
                if (hidden := await self._hidden(placement)) is not None:
                    said += hidden
                    continue
                self.placements.forget(order.id)
                if was_on_chain or placement.is_acknowledged:
                    said.append(
                        f"{_happened(placement)}, and its farmers' signatures have expired. "
                        f"{_money(placement)} {STORE_AGAIN}"
                    )
            elif placement.is_acknowledged or (was_on_chain and head.number > order.block):
                # An endpoint that is not there yet is behind, and no reorganisation.
                said.append(await self._place_again(placement, watch))
        return said

    def _is_abandoned(self, placement: Placement) -> bool:
        """Whether nobody who lives places what was signed, and nobody was told that it failed.

        The file is read after the mark was looked for: the one that stores it may have ended since it was
        listed, and writes down how before it lets go of its mark.
        """
        order = placement.order.id
        return not self.placements.is_underway(order) and self.placements.get(order) == placement

    async def _hidden(self, placement: Placement) -> list[str] | None:
        """What to say of an order that the market has, though its events were not read; None if it is gone.

        Anyone who is told that it is gone stores it again, and pays twice.
        """
        try:
            verdict = await self._kept(placement.order.id)
        except GrangeError:
            # The next command asks again.
            return []
        if not verdict.is_agreed and None in verdict.said:
            # They differ, or one of several does not answer.
            return []
        if verdict.value is None:
            return None
        with suppress(GrangeError):
            await self.executors.in_database(self.catalog.index.read_again)
        return [
            f"The endpoint does not show {_named(placement)}, but the market has it. The next command looks "
            "for it: do not store it again. If this stays so, use another endpoint: `rpc` in config.json."
        ]

    async def _kept(self, order: OrderId) -> Verdict[Order | None]:
        """The order in the contract. Several endpoints are asked as of a block that all of them have."""
        if self.market.rpc.is_alone:
            return await agreed_order(self.market, order, b"")
        block = max(0, (await self.market.head()).number - WITNESSED_DEPTH_BLOCKS)
        there = await agreed_hash(self.market, block)
        if not there.is_agreed:
            return Verdict(is_agreed=False, said=(None,))
        return await agreed_order(self.market, order, there.value)

    def _forget_what_is_stored_again(self, missing: Collection[Known]) -> None:
        """The person was faster: to place it again as well would be to pay twice for the same."""
        there = self.catalog.orders() if missing else []
        for known in missing:
            if any(self._is_stored_again(known, one) for one in there):
                self.placements.forget(known.order.id)
                self.catalog.supersede(known.order.id)

    def _is_stored_again(self, known: Known, there: Known) -> bool:
        if there.order.previous == known.order.previous != NO_ORDER:
            return True
        if not there.is_newer_than(known):
            return False
        if (there.files, there.size_bytes) != (known.files, known.size_bytes):
            return False
        ours, theirs = self.catalog.manifest(known.order.id), self.catalog.manifest(there.order.id)
        return ours is not None and theirs is not None and ours.entries == theirs.entries

    def _forget_older(self) -> list[str]:
        """What can't be placed again, and of which something newer is there, is said once."""
        missing = self.catalog.missing(ALL_EPOCHS)
        if not missing:
            return []
        there, waiting = self.catalog.orders(), {one.order.id for one in self.placements.all()}
        said = []
        for known in missing:
            newer = next((one for one in there if one.is_newer_than(known)), None)
            if newer is not None and known.order.id not in waiting:
                self.catalog.supersede(known.order.id)
                said.append(
                    f"The chain does not show {describe_order(known)} any more. What was stored under that "
                    f"name later, {describe_order(newer)}, is there."
                )
        return said

    async def _place_again(self, placement: Placement, watch: Listener) -> str:
        what, until = _happened(placement), placement.last_block
        if self.catalog.file.forgetful:
            return f"{what}. Run `grange orders ls` where the home can be written, before block {until}."
        again = "" if placement.is_acknowledged else " again"
        watch(Step(what=f"Placing{again} {_named(placement)}"))
        try:
            receipt = await self._placed(placement)
        except TransactionReverted as error:
            if error.name == PLACED.refusal:
                # It is on its way already, or our endpoint is behind: then it has it the next time.
                await self.executors.in_database(self.catalog.index.read_again)
                return f"{what}; it is on its way onto it again."
            return (
                f"{what}, and the market does not take it{again} ({error.name}). {_money(placement)} Each "
                f"command tries again until block {until}; or store it again with `grange orders put`, under "
                "the same name, and then it is not placed twice."
            )
        except GrangeError as error:
            return (
                f"{what}, and it could not be placed{again}: {error}. What its farmers signed holds until "
                f"block {until}: run `grange orders ls` again before that."
            )
        return f"{what}. It was placed{again}, in block {receipt.block}: same farmers, same price per epoch."

    async def _placed(self, placement: Placement) -> Receipt:
        order, rates = placement.order, sum(one.rate for one in placement.acceptances)

        async def mined(receipt: Receipt) -> None:
            fresh = Epoch(receipt.block // self.market.parameters.epoch_blocks + 1)
            known = placement.in_block(receipt.block, fresh if order.previous == NO_ORDER else order.start)
            # It is placed, and what can't be noted now is found on the chain.
            with suppress(GrangeError):
                self.placements.note(known)
            await self.notes.take(lambda: self.catalog.index.note(known.order))

        async def missing() -> int:
            start = order.start
            if order.previous == NO_ORDER:
                start = Epoch((await self.market.head()).epoch + 1)
            return missing_from_vault(rates * max(0, order.end - start), await self.funds())

        async def send() -> Receipt:
            terms, acceptances = placement.terms, placement.acceptances
            if order.previous == NO_ORDER:
                return await self.market.place(terms, acceptances, missing, on_mined=mined)
            held = await self._held(order.previous)
            return await self.market.extend(held, terms, acceptances, missing, on_mined=mined)

        return await send_once(self.market, AT_ONCE, order.id, send, on_mined=mined)

    async def _held(self, order: OrderId) -> Held:
        orders = await self.executors.in_database(self.catalog.orders)
        previous = next((one.order for one in orders if one.order.id == order), None)
        if previous is None:
            raise UnknownOrder("The order that it extends is not on the chain.")
        return (await self.tenures.look(previous)).held


def _named(placement: Placement) -> str:
    return f"order {placement.name or placement.order.id.hex()[:SHOWN_ID_CHARACTERS]}"


def _happened(placement: Placement) -> str:
    if placement.is_acknowledged:
        return f"Farmers have signed for {_named(placement)}, and what stored it ended before it was placed"
    return f"The chain dropped {_named(placement)} in a reorganisation"


def _money(placement: Placement) -> str:
    return "Nothing was paid for it." if placement.is_acknowledged else "What it cost is back."
