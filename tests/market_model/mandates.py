"""Mandates in a story: given, changed, revoked, and used by anyone.

Decides which orders are covered, within which bounds, and who of their farmers is left out. Leaves everything
else to `story`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from grange import messages
from grange.chain import Wallet, calls
from grange.types import EXTENDED, Acceptance, Address, Epoch, FarmerId, MandateTerms, OrderId
from grange.units import GIB, LEAF_BYTES

from .errands import actors
from .model import MAX_RATE, NOBODY, Mandate, Market, Offered, Order
from .playing import RENTERS, Playing

NUMBERS = range(1, 5)
FIRST_NUMBER = 9
HIGHEST_RATES = [1, 20, 600, 600, 600]
HIGHEST_EGRESS = [0, 100, MAX_RATE, MAX_RATE]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signing:
    """What the farmers of an order are asked to sign, and what goes wrong."""

    previous: bytes
    old: Order
    end: int
    highest: int
    highest_egress: int
    extender: str
    left_out: int
    slip: str


class Mandates(Playing):
    """What is done with mandates."""

    @rule(
        data=st.data(),
        renter=st.sampled_from(RENTERS),
        number=st.sampled_from([*NUMBERS, *NUMBERS, 0, EXTENDED]),
        rate=st.sampled_from(HIGHEST_RATES),
        egress=st.sampled_from(HIGHEST_EGRESS),
        fee=st.integers(0, 500),
        dates=st.integers(0, 9),
        terms=st.sampled_from([1, 1, 1, 2, 3, 0, 99]),
        off=st.sampled_from([0] * 20 + [1]),
        total=st.sampled_from([1_000, 100_000, (1 << 128) - 1]),
    )
    def give_mandate(
        self,
        *,
        data: st.DataObject,
        renter: Wallet,
        number: int,
        rate: int,
        egress: int,
        fee: int,
        dates: int,
        terms: int,
        off: int,
        total: int,
    ) -> None:
        grid = self.p.grid_epochs
        given = MandateTerms(
            highest_price=rate * GIB // LEAF_BYTES,
            highest_egress_price=egress,
            fee=fee,
            until=Epoch((self.next_epoch // grid + dates) * grid + off),
            term_epochs=terms * grid,
            total=total,
        )
        orders = self._some_orders(data, renter)
        known = [one for account, one in self.market.mandates if account == renter.address]
        revoked = data.draw(st.lists(st.sampled_from(known), max_size=1), label="revoked") if known else []

        def act(market: Market) -> None:
            mandate = Mandate(
                highest_price=given.highest_price,
                highest_egress_price=egress,
                fee=fee,
                until=given.until,
                term_epochs=given.term_epochs,
                left=total,
            )
            market.give_mandate(renter.address, number, mandate, orders=orders, revoked=revoked)

        call = calls.give_mandate(number, given, orders=[OrderId(one) for one in orders], revoked=revoked)
        if self.attempt(renter.address, call, act):
            self.compare_mandate(renter.address, number)

    def cover_first_orders(self, renter: Wallet) -> None:
        """A mandate from the start, under which the renter's orders may go on and on."""
        orders = sorted(key for key, one in self.market.orders.items() if one.renter == renter.address)
        self.give_wide_mandate(renter, FIRST_NUMBER, orders)

    def give_wide_mandate(self, renter: Wallet, number: int, orders: list[bytes]) -> bool:
        """One whose bounds no order meets; whether it went through."""
        grid = self.p.grid_epochs
        given = MandateTerms(
            highest_price=600 * GIB // LEAF_BYTES,
            highest_egress_price=MAX_RATE,
            fee=10,
            until=Epoch((self.next_epoch // grid + 40) * grid),
            term_epochs=grid,
            total=(1 << 128) - 1,
        )
        names = ("highest_price", "highest_egress_price", "fee", "until", "term_epochs")
        terms = {name: getattr(given, name) for name in names}
        return self.attempt(
            renter.address,
            calls.give_mandate(number, given, orders=[OrderId(one) for one in orders]),
            lambda m: m.give_mandate(
                renter.address, number, Mandate(**terms, left=given.total), orders=orders, revoked=[]
            ),
        )

    def _some_orders(self, data: st.DataObject, renter: Wallet) -> list[bytes]:
        """Orders of the renter; now and then another's, or one that is extended."""
        own = sorted(key for key, one in self.market.orders.items() if one.renter == renter.address)
        known = own if data.draw(st.integers(0, 9), label="any?") else sorted(self.market.used_ids)
        return data.draw(st.lists(st.sampled_from(known), max_size=3, unique=True)) if known else []

    @rule(data=st.data(), renter=st.sampled_from(RENTERS), number=st.sampled_from([0, *NUMBERS]))
    def cover_orders(self, data: st.DataObject, renter: Wallet, number: int) -> None:
        orders = self._some_orders(data, renter)
        call = calls.cover_orders(number, [OrderId(one) for one in orders])
        self.attempt(renter.address, call, lambda m: m.cover_orders(renter.address, number, orders))

    @rule(renter=actors, number=st.sampled_from(NUMBERS), chance=st.integers(0, 3))
    def revoke_mandate(self, renter: str, number: int, chance: int) -> None:
        if chance:
            return
        call = calls.revoke_mandates([number])
        self.attempt(renter, call, lambda market: market.revoke_mandates(renter, [number]))

    def _covered(self) -> list[bytes]:
        """Orders that somebody might extend now or later."""
        return sorted(key for key, one in self.market.orders.items() if one.mandate and not one.extended)

    @precondition(lambda self: self._covered())
    @rule(
        data=st.data(),
        caller=actors,
        extender=actors,
        wait=st.integers(0, 9),
        left_out=st.sampled_from([0, 0, 0, 1, 1, 2]),
        slip=st.sampled_from(["none"] * 15 + ["other", "dear", "ransom", "forged", "end", "root"]),
    )
    def extend_by_mandate(
        self, *, data: st.DataObject, caller: str, extender: str, wait: int, left_out: int, slip: str
    ) -> None:
        """Mostly in the period in which it can be; now and then somebody goes out of line."""
        previous = data.draw(st.sampled_from(self._covered()), label="order")
        old = self.market.orders[previous]
        grid, blocks = self.p.grid_epochs, self.p.epoch_blocks
        if wait:
            late = self.p.grid_epochs // 2 if left_out else 0
            self.live_to((old.end - grid + late) * blocks)
        if previous in self.market.orders:
            self.extend_covered(data, previous, caller, extender, left_out=left_out, slip=slip)

    def extend_covered(
        self,
        data: st.DataObject | None,
        previous: bytes,
        caller: str,
        extender: str,
        *,
        left_out: int = 0,
        slip: str = "none",
    ) -> bool:
        """Extend an order by its mandate, at prices that are drawn, or without `data` at those of before;
        whether it went through."""
        old, grid = self.market.orders[previous], self.p.grid_epochs
        mandate = self.market.mandates[old.renter, old.mandate]
        right_end = min(old.end + mandate.term_epochs, mandate.until)
        signing = _Signing(
            previous=previous,
            old=old,
            end=right_end + (grid if slip == "end" else 0),
            highest=-(-mandate.highest_price * old.leaf_count * LEAF_BYTES // GIB),
            highest_egress=mandate.highest_egress_price,
            extender=extender,
            left_out=left_out,
            slip=slip,
        )
        signed = [self._sign(data, signing, number) for number in range(len(old.slots))]
        order = messages.extension_id(OrderId(previous), Epoch(right_end))
        call = calls.extend_by_mandate(
            self.held(previous), [acceptance for acceptance, _ in signed], Address(extender)
        )
        offered = [one for _, one in signed]
        renter, used = old.renter, old.mandate
        went_through = self.attempt(
            caller,
            call,
            lambda m: m.extend_by_mandate(previous, order=order, offered=offered, extender=extender),
        )
        if went_through:
            self._keep_all(self.market.orders[order])
            self.compare_mandate(renter, used)
        return went_through

    def _sign(self, data: st.DataObject | None, signing: _Signing, number: int) -> tuple[Acceptance, Offered]:
        """What the farmer of a slot signs; nobody where one is left out. The last slips, if one does."""
        kept, slip = signing.old.slots[number], signing.slip
        if number != len(signing.old.slots) - 1 and slip != "end":
            slip = "none"
        farmer, root, rate = kept.farmer, kept.root, min(kept.rate, signing.highest)
        egress = min(kept.max_egress_price_per_gib, signing.highest_egress)
        if number < signing.left_out:
            farmer = NOBODY
        elif slip == "other" and data is not None:
            farmer = self.farmer(data)
        elif slip == "dear":
            rate = signing.highest + 1
        elif slip == "ransom":
            egress = min(signing.highest_egress + 1, MAX_RATE)
        elif farmer != NOBODY and data is not None:
            rate = data.draw(st.integers(1, max(1, signing.highest)), label="rate")
            egress = data.draw(st.integers(0, signing.highest_egress), label="egress")
        if slip == "root":
            root = bytes(32)
        deadline = self.chain.block + 1
        wallet = self.signer_of(farmer, slip != "forged")
        message = messages.AcceptanceMessage(
            order=messages.extension_id(OrderId(signing.previous), Epoch(signing.end)),
            farmer=FarmerId(farmer),
            slot=number,
            root=root,
            leaf_count=signing.old.leaf_count,
            rate=rate,
            max_egress_price_per_gib=egress,
            end=Epoch(signing.end),
            deadline_block=deadline,
            previous=OrderId(signing.previous),
            repairer=Address(signing.extender),
        )
        acceptance = messages.sign_acceptance(self.chain.domain, wallet.private_key, message)
        # Signed for another end, it counts as signed by somebody else.
        signer = "" if slip == "end" else wallet.address
        offered = Offered(
            farmer=farmer,
            root=root,
            rate=rate,
            max_egress_price_per_gib=egress,
            deadline_block=deadline,
            signer=signer,
        )
        return acceptance, offered

    def _keep_all(self, order: Order) -> None:
        for tenure in order.slots:
            if tenure.farmer != NOBODY:
                self.keeper.keep(tenure, order.leaf_count)

    def compare_mandate(self, account: str, number: int) -> None:
        """As the contract shows it."""
        mandate = self.market.mandates[account, number]
        shown = self.chain.ask("mandate", account, number)
        assert shown == {
            "highest_price": mandate.highest_price,
            "highest_egress_price": mandate.highest_egress_price,
            "fee": mandate.fee,
            "until": mandate.until,
            "term_epochs": mandate.term_epochs,
            "left": mandate.left,
            "revoked": mandate.revoked,
        }
