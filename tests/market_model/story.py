"""Random stories of several farmers, renters and strangers, played on the contract and on the model at once.

Decides what may happen in a story: orders, proofs, losses, repairs, and reorgs. `errands` has the small
calls, `playing` how a call is played on both, `checking` what must agree. Amounts are small, so that limits
are met.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import takewhile

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from grange import audit
from grange.chain import Wallet, calls
from grange.types import Epoch, FarmerId, OrderId

from .checking import Checking
from .errands import Errands, actors
from .keeper import Key, key_of
from .mandates import Mandates
from .model import NOBODY, Farmer, Market, Order, Tenure
from .playing import MAX_FARMERS, OPERATORS, OWNERS, RENTERS, STRANGER, PermitKind, permits

rates = st.one_of(st.integers(1, 20), st.integers(1, 600))
lazy_ones = st.frozensets(st.integers(1, MAX_FARMERS), max_size=2)


class Story(Errands, Mandates, Checking):
    """One story."""

    # who there is

    def open(self, data: st.DataObject, stakes: list[int], wait: int) -> None:
        self.pass_blocks(wait)
        for number, stake in enumerate(stakes):
            self.new_farmer(OWNERS[number % 2].address, OPERATORS[number % 3].address, stake)
        for renter in RENTERS:
            self.deposit(None, renter.address, 200_000)
            self.place(data, renter, renter.address, leaf_count=3, dates=2, off=0, k=1)
            self.cover_first_orders(renter)

    # time and proofs

    @rule(blocks=st.one_of(st.integers(1, 5), st.integers(1, 30)), all_asleep=st.integers(0, 3))
    def time_passes(self, blocks: int, all_asleep: int) -> None:
        """Mostly everybody proves meanwhile: where all lapse a story is over."""
        if all_asleep:
            self.live_to(self.chain.block + blocks)
        else:
            self.pass_blocks(blocks)

    @rule(lazy=st.lists(lazy_ones, min_size=1, max_size=3))
    def season(self, lazy: list[frozenset[int]]) -> None:
        """Some epochs, in each of which some farmers do not prove."""
        for ones in lazy:
            self.pass_to_next_epoch()
            self.prove_all_but(ones)
            self.compare_everybody()

    @rule(lazy=lazy_ones)
    def prove_now(self, lazy: frozenset[int]) -> None:
        self.prove_all_but(lazy)

    @rule(data=st.data())
    def prove_any(self, data: st.DataObject) -> None:
        """Anyone may do it, asked or not."""
        self.prove(self.farmer(data))

    # orders

    @rule(
        data=st.data(),
        renter=st.sampled_from(RENTERS),
        sender=st.none() | actors,
        leaf_count=st.integers(1, 5),
        early=st.sampled_from([0, 1, 2] * 10 + [99, -1]),
        off=st.sampled_from([0] * 50 + [1]),
        k=st.sampled_from([1] * 50 + [0, 9]),
        permitted=permits,
    )
    def place_order(
        self,
        *,
        data: st.DataObject,
        renter: Wallet,
        sender: str | None,
        leaf_count: int,
        early: int,
        off: int,
        k: int,
        permitted: PermitKind,
    ) -> None:
        """Until the last date there is, or some dates earlier; now and then by a delegate, or by somebody who
        would be one."""
        dates = 0 if early == 99 else max(1, self.p.max_books - early)
        if sender is not None and sender != renter.address:
            self.authorize(data, renter.address, sender, 10**6)
            permitted = "none"
        self.place(
            data,
            renter,
            sender or renter.address,
            leaf_count=leaf_count,
            dates=dates,
            off=off,
            k=k,
            permitted=permitted,
        )

    def place(
        self,
        data: st.DataObject,
        renter: Wallet,
        sender: str,
        *,
        leaf_count: int,
        dates: int,
        off: int,
        k: int,
        permitted: PermitKind = "none",
    ) -> None:
        grid = self.p.grid_epochs
        end = (self.next_epoch // grid + dates) * grid + off
        offers = [
            (farmer, rate, self.keeper.make(b"%d %d" % (self.salts, number), leaf_count), honest, in_time)
            for number, (farmer, rate, honest, in_time) in enumerate(self._offers(data))
        ]
        self.fill(renter.address, end, (leaf_count, 1, k), offers, sender=sender, permitted=permitted)

    def _offers(self, data: st.DataObject, count: int | None = None) -> list[tuple[int, int, bool, bool]]:
        """Farmers and rates; now and then one twice, or one forged, too late or for nothing."""
        everybody = range(1, len(self.market.farmers) + 1)
        willing = [one for one in everybody if self.market.farmers[one - 1].vacant_from is None]
        known = willing if willing and data.draw(st.integers(0, 9), label="any?") else list(everybody)
        size = data.draw(st.integers(1, min(4, len(known))), label="slots") if count is None else count
        farmers = data.draw(st.permutations(known), label="farmers")[:size]
        farmers += farmers[:1] * (size - len(farmers))
        slip = data.draw(st.sampled_from(["none"] * 25 + ["twice", "forged", "late", "free", "nobody"]))
        offers = [(one, data.draw(rates, label="rate"), True, True) for one in farmers]
        farmer, rate, _, _ = offers[-1]
        offers[-1] = {
            "twice": (farmers[0], rate, True, True),
            "forged": (farmer, rate, False, True),
            "late": (farmer, rate, True, False),
            "free": (farmer, 0, True, True),
            "nobody": (len(everybody) + 1, rate, True, True),
        }.get(slip, offers[-1])
        return offers

    def _unended(self, data: st.DataObject) -> bytes:
        """An order that goes on for a while; now and then any."""
        going = sorted(key for key, one in self.market.orders.items() if one.end > self.next_epoch + 1)
        if going and data.draw(st.integers(0, 9), label="any?"):
            return data.draw(st.sampled_from(going), label="order")
        return self.order(data)

    def order(self, data: st.DataObject) -> bytes:
        return data.draw(st.sampled_from(sorted(self.market.orders)), label="order")

    @precondition(lambda self: self.market.orders)
    @rule(
        data=st.data(),
        dates=st.sampled_from([1, 2] * 8 + [0, 3, 4]),
        same=st.booleans(),
        slip=st.sampled_from(["none"] * 12 + ["delegate"] * 3 + ["root", "shape", "renter"]),
        wait=st.integers(0, 9),
        permitted=permits,
    )
    def extend(
        self,
        *,
        data: st.DataObject,
        dates: int,
        same: bool,
        slip: str,
        wait: int,
        permitted: PermitKind,
    ) -> None:
        previous = self._unended(data)
        old = self.market.orders[previous]
        grid, blocks = self.p.grid_epochs, self.p.epoch_blocks
        if wait:
            self.live_to((old.end - grid) * blocks)
        roots = [one.root for one in old.slots]
        if same:
            offers = [(one.farmer, one.rate, True, True) for one in old.slots]
        else:
            offers = self._offers(data, len(roots))
        if slip == "root":
            roots[-1] = bytes(32)
        leaf_count = old.leaf_count + (slip == "shape")
        sender = STRANGER.address if slip == "renter" else old.renter
        if slip == "delegate":
            sender = data.draw(actors, label="sender")
            self.authorize(data, old.renter, sender, 10**6)
        full = [(f, r, root, *rest) for (f, r, *rest), root in zip(offers, roots, strict=True)]
        shape = (leaf_count, old.piece_leaves, old.k)
        end = old.end + dates * grid
        self.fill(old.renter, end, shape, full, previous, sender=sender, permitted=permitted)  # type: ignore[arg-type]

    @precondition(lambda self: any(self._vacant(order) for order in self.market.orders.values()))
    @rule(data=st.data(), many=st.booleans(), caller=actors, repairer=actors, wait=st.integers(0, 12))
    def refill_vacant(self, data: st.DataObject, many: bool, caller: str, repairer: str, wait: int) -> None:
        """Slots of an order that has vacant ones, by farmers that are not in it."""
        self.live_to(self.chain.block + wait)
        repairable = sorted(key for key, order in self.market.orders.items() if self._vacant(order))
        if not repairable:
            return
        order_id = data.draw(st.sampled_from(repairable), label="order")
        order = self.market.orders[order_id]
        inside = [one.farmer for one in order.slots]
        outside = [
            number
            for number, one in enumerate(self.market.farmers, 1)
            if number not in inside and one.vacant_from is None
        ]
        if not outside and self.room_for_farmers():
            self.new_farmer(OWNERS[1].address, OPERATORS[0].address, 100_000)
            outside = [len(self.market.farmers)]
        chosen = data.draw(st.permutations(self._vacant(order)), label="slots")
        farmers = data.draw(st.permutations(outside or [1]), label="farmers")
        pairs = list(zip(chosen, farmers, strict=False))
        self.refill(order_id, pairs if many else pairs[:1], caller, repairer, honest=True)

    @precondition(lambda self: self.market.orders)
    @rule(data=st.data(), caller=actors, repairer=actors, honest=st.integers(0, 9), slot=st.integers(0, 4))
    def refill_any(self, data: st.DataObject, caller: str, repairer: str, honest: int, slot: int) -> None:
        order_id = self._unended(data)
        inside = [one.farmer for one in self.market.orders[order_id].slots]
        outside = [one for one in range(1, len(self.market.farmers) + 1) if one not in inside]
        if outside and data.draw(st.integers(0, 9), label="inside?"):
            farmer = data.draw(st.sampled_from(outside), label="farmer")
        else:
            farmer = self.farmer(data)
        self.refill(order_id, [(slot, farmer)], caller, repairer, bool(honest))

    def _vacant(self, order: Order) -> list[int]:
        """Slots that could be taken over, by the look of it."""
        found = []
        for number, tenure in enumerate(order.slots):
            nobody = tenure.farmer == NOBODY
            if nobody or tenure.lost_epoch is not None or self.market.farmers[tenure.farmer - 1].vacant_from:
                found.append(number)
        return found if order.start <= self.next_epoch < order.end - 1 else []

    @precondition(lambda self: self.market.orders)
    @rule(data=st.data(), caller=actors, wait=st.sampled_from([False, True, True]))
    def close(self, data: st.DataObject, caller: str, wait: bool) -> None:
        order_id = self.order(data)
        if wait:
            end = self.market.orders[order_id].end
            # Not always beyond: a far end would make an end of all other orders too.
            if end - self.next_epoch <= 2 * self.p.grid_epochs:
                self.live_to(end * self.p.epoch_blocks)
        call = calls.close(self.held(order_id))
        self.attempt(caller, call, lambda market: market.close(caller, order_id))

    # giving up

    @rule(data=st.data(), caller=actors, owner=st.integers(0, 9), again=st.integers(0, 9))
    def declare_loss(self, data: st.DataObject, caller: str, owner: int, again: int) -> None:
        """Some slots of one book; now and then one a second time, or one that has not begun."""
        losing = [
            number for number, one in enumerate(self.market.farmers, 1) if one.rate_asked(self.next_epoch)
        ]
        if not losing:
            return
        number = data.draw(st.sampled_from(losing), label="farmer")
        farmer = self.market.farmers[number - 1]
        live = [one for one in farmer.tenures if one.end > self.next_epoch]
        if again:
            live = [one for one in live if one.lost_epoch is None and one.start <= self.next_epoch]
        if not live:
            return
        end, extension = data.draw(
            st.sampled_from(sorted({(one.end, one.extension) for one in live})), label="book"
        )
        book = [key_of(one) for one in live if (one.end, one.extension) == (end, extension)]
        size = data.draw(st.integers(1, len(book)), label="lost")
        keys = data.draw(st.permutations(book), label="which")[:size]
        if owner:
            caller = data.draw(st.sampled_from([farmer.owner, farmer.operator]))
        self.lose(caller, number, end, extension, keys)

    def lose(self, caller: str, number: int, end: int, extension: bool, keys: Sequence[Key]) -> bool:
        """Declare slots of one book lost; whether it went through."""
        words = self.keeper.loss_words(_tenures(self.market.farmers[number - 1], keys))
        epoch = self.next_epoch
        call = calls.declare_loss(FarmerId(number), Epoch(end), words, extension=extension)

        def act(market: Market) -> None:
            lost = _tenures(market.farmers[number - 1], keys)
            market.declare_loss(caller, number, end, extension, lost)

        went_through = self.attempt(caller, call, act)
        if went_through:
            for tenure in _tenures(self.market.farmers[number - 1], keys):
                self.keeper.lose(tenure, epoch)
        return went_through

    # passing on and taking back

    @precondition(lambda self: self.market.orders)
    @rule(
        data=st.data(),
        caller=actors,
        honest=st.integers(0, 9),
        slip=st.integers(0, 19),
        proves=st.integers(0, 9),
    )
    def hand_over(self, data: st.DataObject, caller: str, honest: int, slip: int, proves: int) -> None:
        """A slot to a farmer that is not in the order, or to its own; mostly when the giver has proven."""
        order = self.market.orders[self._unended(data)]
        tenure = data.draw(st.sampled_from([one for one in order.slots if one.farmer]), label="slot")
        giver = self.market.farmers[tenure.farmer - 1]
        inside = [one.farmer for one in order.slots if one is not tenure]
        takers = [one for one in range(1, len(self.market.farmers) + 1) if one not in inside]
        taker = data.draw(st.sampled_from(takers), label="taker") if slip else self.farmer(data)
        if proves and self.is_asked(tenure.farmer):
            self.prove(tenure.farmer)
        if slip:
            caller = data.draw(st.sampled_from([giver.owner, giver.operator]))
        self.hand_over_slot(caller, tenure.farmer, tenure, taker, honest=bool(honest))

    @precondition(lambda self: self.market.bonds)
    @rule(data=st.data(), caller=actors, known=st.integers(0, 9))
    def release(self, data: st.DataObject, caller: str, known: int) -> None:
        giver, taker, epoch = data.draw(st.sampled_from(sorted(self.market.bonds)), label="bond")
        epoch -= not known
        call = calls.release(FarmerId(giver), FarmerId(taker), Epoch(epoch))
        self.attempt(caller, call, lambda market: market.release(giver, taker, epoch))

    @precondition(lambda self: self.market.orders)
    @rule(data=st.data(), caller=actors, slip=st.integers(0, 9))
    def recover(self, data: st.DataObject, caller: str, slip: int) -> None:
        """Mostly a slot that was declared lost, by its farmer."""
        slots = [one for order in self.market.orders.values() for one in order.slots if one.farmer]
        lost = [one for one in slots if one.lost_epoch is not None and one.end > self.next_epoch]
        key = data.draw(st.sampled_from(sorted(key_of(one) for one in (lost if lost and slip else slots))))
        tenure = next(one for one in slots if key_of(one) == key)
        if slip:
            caller = self.market.farmers[tenure.farmer - 1].operator
        self.take_back(caller, tenure)

    def take_back(self, caller: str, tenure: Tenure) -> bool:
        """Recover a slot; whether it went through."""
        order_id, slot, farmer = tenure.order, tenure.slot, tenure.farmer
        call = calls.recover(FarmerId(farmer), self.held(order_id), slot)
        went_through = self.attempt(
            caller, call, lambda market: market.recover(caller, farmer, order_id, slot)
        )
        if went_through:
            order = self.market.orders[order_id]
            self.keeper.keep(order.slots[slot], order.leaf_count)
        return went_through

    @rule(data=st.data(), caller=actors, slip=st.integers(0, 9))
    def cut_front(self, data: st.DataObject, caller: str, slip: int) -> None:
        """All that can be cut off a book; now and then something that cannot."""
        books = [
            (number, one.end, one.extension)
            for number, farmer in enumerate(self.market.farmers, 1)
            for one in farmer.tenures
            if one.lost_epoch is not None and (not slip or one.end > self.next_epoch)
        ]
        if not books:
            return
        number, end, extension = data.draw(st.sampled_from(sorted(set(books))), label="book")
        farmer = self.market.farmers[number - 1]
        behind = [one for one in farmer.book(end, extension) if one.cut_epoch is None]
        lost = list(takewhile(lambda one: one.lost_epoch is not None, behind))
        cut = [key_of(one) for one in (lost if slip and lost else behind[-1:])]
        self.cut(caller, number, end, extension, cut)

    def cut(self, caller: str, number: int, end: int, extension: bool, cut: Sequence[Key]) -> bool:
        """Cut slots off a book; whether it went through."""
        epoch = self.next_epoch
        ids = [audit.tenure_id(OrderId(order), slot, Epoch(start)) for order, slot, start in cut]
        call = calls.cut_front(FarmerId(number), Epoch(end), ids, extension=extension)

        def act(market: Market) -> None:
            market.cut_front(number, end, extension, _tenures(market.farmers[number - 1], cut))

        went_through = self.attempt(caller, call, act)
        if went_through:
            self.keeper.cut_front(number, end, extension, epoch)
        return went_through

    @rule(data=st.data(), caller=actors)
    def evict(self, data: st.DataObject, caller: str) -> None:
        lapsed = [
            number
            for number, one in enumerate(self.market.farmers, 1)
            if one.vacant_from is not None and not one.evicted
        ]
        farmer = data.draw(st.sampled_from(lapsed)) if lapsed else self.farmer(data)
        call = calls.evict(FarmerId(farmer))
        self.attempt(caller, call, lambda market: market.evict(caller, farmer))

    # reorgs

    @precondition(lambda self: len(self.marks) < 2)
    @rule()
    def fork(self) -> None:
        """From here on what happens may turn out not to have."""
        state = pickle.dumps((self.market, self.keeper, self.salts))
        self.marks.append((self.chain.mark(), state))

    @precondition(lambda self: self.marks)
    @rule()
    def reorg(self) -> None:
        """What happened since the fork never did, and other blocks come."""
        mark, state = self.marks.pop()
        self.chain.go_back(mark)
        self.market, self.keeper, self.salts = pickle.loads(state)
        self.seen_block = self.compared_block = -1
        self.pass_blocks(1)


def _tenures(farmer: Farmer, keys: Sequence[Key]) -> list[Tenure]:
    by_key = {key_of(one): one for one in farmer.tenures}
    return [by_key[key] for key in keys]
