"""Random stories of several farmers, renters and strangers, played on the contract and on the model at once.

Every action is first asked of the model: it says which error the contract must refuse with, or that it must
go through. After every step balances and views are compared, and at the end everybody leaves and the market
must be empty, to the last base unit. Amounts are small, so that limits are met.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from grange import messages
from grange.chain import Call, Wallet, calls
from grange.types import Address, Epoch, FarmerId, Held, Offer, OrderId, Parameters, Slot, Terms, address_from
from grange.units import TOKEN

from .keeper import Keeper, Key, key_of
from .model import BURNT, Farmer, Market, Offered, Order, Refused, Taking, Tenure
from .stage import FUNDS, Stage

MAX_FARMERS = 6
ACTORS = [Wallet(bytes([number]) * 32) for number in range(2, 10)]
RENTERS, OWNERS, OPERATORS, STRANGER = ACTORS[:2], ACTORS[2:4], ACTORS[4:7], ACTORS[7]
ADDRESSES = [one.address for one in ACTORS]
OFFER = Offer(price_per_gib_epoch=TOKEN, egress_price_per_gib=0, capacity_bytes=1, longest_term_epochs=1)

PLAYED: Counter[str] = Counter()
"""How often which call went through or was refused, over all stories: printed by the tests."""

COMPARED = {"Proven", "Redeemed", "LossDeclared", "Evicted", "SlotVacated", "OrderClosed"}
"""Events whose every value is the model's to say."""

rates = st.one_of(st.integers(1, 20), st.integers(1, 600))
actors = st.sampled_from(ADDRESSES)
lazy_ones = st.frozensets(st.integers(1, MAX_FARMERS), max_size=2)
amounts = st.one_of(st.integers(0, 3), st.integers(1, 40_000), st.integers(1, 10**6))
huge_amounts = st.sampled_from([None] * 9 + [1 << 96, 1 << 224])


class Story(RuleBasedStateMachine):
    """One story. Subclasses say under which parameters."""

    parameters: ClassVar[Parameters]
    stage: ClassVar[Stage | None] = None

    def __init__(self) -> None:
        super().__init__()
        cls = type(self)
        if cls.stage is None:
            cls.stage = Stage(cls.parameters, ACTORS)
        self.chain: Stage = cls.stage
        self.start = self.chain.mark()
        self.chain.drawn = 0
        self.p = self.chain.parameters
        wallets = dict.fromkeys(ADDRESSES, FUNDS)
        self.market = Market(self.p, block=self.chain.block, wallets=wallets)
        self.keeper = Keeper()
        self.salts = 0
        self.turn = 0
        self.sound = True
        self.seen = (-1, -1)
        self.marks: list[tuple[Any, bytes]] = []

    # playing

    def attempt(self, sender: str, call: Call, act: Callable[[Market], None]) -> bool:
        """Play an action on both; whether it went through."""
        self.sound = False
        saved = pickle.dumps(self.market)
        self.market.advance(self.chain.block + 1)
        self.market.told.clear()
        expected = None
        try:
            act(self.market)
        except Refused as refused:
            expected = refused.name
            self.market = pickle.loads(saved)
        refusal = self.chain.refusal(Address(sender), call)
        assert refusal == expected, f"{call.function}: the contract says {refusal}, the model {expected}"
        if expected is None:
            self.chain.send(Address(sender), call)
            told = [one for one in self.chain.told() if one[0] in COMPARED]
            assert told == self.market.told, call.function
        PLAYED[f"{call.function} {expected or ''}".strip()] += 1
        event(f"{call.function} {expected or ''}")
        self.sound = True
        return expected is None

    def pass_blocks(self, blocks: int) -> None:
        if blocks > 0:
            self.chain.mine(blocks)
            self.market.advance(self.chain.block)

    @property
    def next_epoch(self) -> int:
        """The epoch of the next transaction."""
        return (self.chain.block + 1) // self.p.epoch_blocks

    def farmer(self, data: st.DataObject) -> int:
        """Any farmer, now and then nobody."""
        return (
            data.draw(st.integers(1, len(self.market.farmers) + 1), label="farmer")
            if (data.draw(st.integers(0, 19), label="nobody?") == 0)
            else data.draw(st.integers(1, len(self.market.farmers)), label="farmer")
        )

    def signer_of(self, farmer: int, honest: bool) -> Wallet:
        operator = self.market.farmers[farmer - 1].operator if farmer <= len(self.market.farmers) else None
        if honest and operator is not None:
            return next(one for one in ACTORS if one.address == operator)
        return next(one for one in ACTORS if one.address != operator)

    def held(self, order_id: bytes) -> Held:
        order = self.market.orders[order_id]
        slots = tuple(
            Slot(farmer=FarmerId(one.farmer), root=one.root, rate=one.rate, start=Epoch(one.start))
            for one in order.slots
        )
        return Held(
            order=OrderId(order_id), leaf_count=order.leaf_count, piece_leaves=order.piece_leaves, slots=slots
        )

    def prove(self, farmer: int) -> bool:
        epoch = self.next_epoch
        first = self.chain.evm.block(epoch * self.p.epoch_blocks)
        words = self.keeper.proof(farmer, epoch, first.hash, self.p.samples) if first is not None else []
        call = calls.prove(FarmerId(farmer), Epoch(epoch), words)
        return self.attempt(STRANGER.address, call, lambda market: market.prove(farmer, epoch))

    def fill(
        self,
        renter: str,
        end: int,
        shape: tuple[int, int, int],
        offers: Sequence[tuple[int, int, bytes, bool, bool]],
        previous: bytes | None = None,
    ) -> None:
        """`place` or `extend`. Offers are farmer, rate, root, whether honestly signed, whether in time."""
        leaf_count, piece_leaves, k = shape
        salt = self.salts.to_bytes(32)
        self.salts += 1
        order = messages.order_id(Address(renter), salt)
        terms = Terms(salt=salt, end=Epoch(end), leaf_count=leaf_count, piece_leaves=piece_leaves, k=k)
        offered, acceptances = [], []
        for number, (farmer, rate, root, honest, in_time) in enumerate(offers):
            deadline = self.chain.block + (1 if in_time else 0)
            wallet = self.signer_of(farmer, honest)
            fields: dict[str, Any] = {"farmer": FarmerId(farmer), "root": root, "rate": rate}
            acceptances.append(
                messages.sign_acceptance(
                    self.chain.domain,
                    wallet.private_key,
                    order=order,
                    slot=number,
                    leaf_count=leaf_count,
                    end=Epoch(end),
                    deadline_block=deadline,
                    previous=messages.NO_ORDER if previous is None else OrderId(previous),
                    **fields,
                )
            )
            offered.append(Offered(deadline_block=deadline, signer=wallet.address, **fields))

        def act(market: Market) -> None:
            if previous is None:
                market.place(renter, order, end, shape, offered)
            else:
                market.extend(renter, previous, order=order, end=end, shape=shape, offered=offered)

        if previous is None:
            call = calls.place(terms, acceptances)
        else:
            call = calls.extend(self.held(previous), terms, acceptances)
        if self.attempt(renter, call, act):
            for tenure in self.market.orders[order].slots:
                self.keeper.keep(tenure, leaf_count)

    # who there is

    @initialize(
        data=st.data(),
        stakes=st.lists(st.integers(10_000, 100_000), min_size=4, max_size=5),
        wait=st.integers(0, 30),
    )
    def open(self, data: st.DataObject, stakes: list[int], wait: int) -> None:
        self.pass_blocks(wait)
        for number, stake in enumerate(stakes):
            self.new_farmer(OWNERS[number % 2].address, OPERATORS[number % 3].address, stake)
        for renter in RENTERS:
            self.deposit(None, renter.address, 200_000)
            self.place(data, renter, leaf_count=3, dates=3, off=0, k=1)

    def new_farmer(self, owner: str, operator: str, stake: int) -> None:
        call = calls.register(
            owner=Address(owner), operator=Address(operator), endpoint="here", offer=OFFER, stake=stake
        )
        self.attempt(owner, call, lambda market: market.register(owner, owner, operator, stake))

    # small errands

    @rule(data=st.data(), account=actors, amount=amounts)
    def errand(self, data: st.DataObject, account: str, amount: int) -> None:
        """One of the calls that concern one account or farmer only."""
        errands = [
            self._join,
            self._set_operator,
            self._add_stake,
            self._unstake,
            self.deposit,
            self._request_withdrawal,
            self._withdraw,
            self._claim,
            self._burn,
            self._settle,
        ]
        data.draw(st.sampled_from(errands), label="errand")(data, account, amount)

    def _join(self, data: st.DataObject, account: str, amount: int) -> None:
        if len(self.market.farmers) < MAX_FARMERS:
            self.new_farmer(account, data.draw(actors, label="operator"), amount)

    def _owner_mostly(self, data: st.DataObject, farmer: int, account: str) -> str:
        if farmer <= len(self.market.farmers) and data.draw(st.integers(0, 9), label="stranger?"):
            return self.market.farmers[farmer - 1].owner
        return account

    def _set_operator(self, data: st.DataObject, account: str, amount: int) -> None:
        farmer = self.farmer(data)
        caller, operator = self._owner_mostly(data, farmer, account), data.draw(actors, label="operator")
        call = calls.set_operator(FarmerId(farmer), Address(operator))
        self.attempt(caller, call, lambda market: market.set_operator(caller, farmer, operator))

    def _add_stake(self, data: st.DataObject, account: str, amount: int) -> None:
        farmer = self.farmer(data)
        amount = data.draw(huge_amounts, label="huge") or amount
        call = calls.add_stake(FarmerId(farmer), amount)
        self.attempt(account, call, lambda market: market.add_stake(account, farmer, amount))

    def _unstake(self, data: st.DataObject, account: str, amount: int) -> None:
        """Now and then all that is free, or one more."""
        farmer = self.farmer(data)
        caller = self._owner_mostly(data, farmer, account)
        free = data.draw(st.sampled_from([None, None, 0, 1]), label="of what is free")
        if free is not None and farmer <= len(self.market.farmers):
            known = self.market.farmers[farmer - 1]
            needed = self.p.collateral_epochs * known.rate_committed(self.next_epoch)
            amount = max(0, known.stake - needed + free)
        call = calls.unstake(FarmerId(farmer), amount)
        self.attempt(caller, call, lambda market: market.unstake(caller, farmer, amount))

    def deposit(self, data: st.DataObject | None, account: str, amount: int) -> None:
        self.attempt(account, calls.deposit(amount), lambda market: market.deposit(account, amount))

    def _request_withdrawal(self, data: st.DataObject, account: str, amount: int) -> None:
        account = data.draw(st.sampled_from(RENTERS), label="renter").address
        amount = data.draw(huge_amounts, label="huge") or amount
        call = calls.request_withdrawal(amount)
        self.attempt(account, call, lambda market: market.request_withdrawal(account, amount))

    def _withdraw(self, data: st.DataObject, account: str, amount: int) -> None:
        renter = data.draw(st.sampled_from(RENTERS), label="renter").address
        call = calls.withdraw(Address(account))
        self.attempt(renter, call, lambda market: market.withdraw(renter, account))

    def _claim(self, data: st.DataObject, account: str, amount: int) -> None:
        if data.draw(st.booleans(), label="everything"):
            amount = self.market.earnings[account]
        to = data.draw(actors, label="to")
        call = calls.claim(Address(to), amount)
        self.attempt(account, call, lambda market: market.claim(account, to, amount))

    def _burn(self, data: st.DataObject, account: str, amount: int) -> None:
        self.attempt(account, calls.burn(), lambda market: market.burn())

    def _settle(self, data: st.DataObject, account: str, amount: int) -> None:
        farmer = self.farmer(data)
        call = calls.settle(FarmerId(farmer))
        self.attempt(account, call, lambda market: market.settle(farmer))

    @rule(
        data=st.data(),
        promised=st.lists(
            st.tuples(st.sampled_from(RENTERS), st.integers(0, 5_000), st.integers(0, 9)), max_size=3
        ),
    )
    def redeem(self, data: st.DataObject, promised: list[tuple[Wallet, int, int]]) -> None:
        farmer = self.farmer(data)
        vouchers = []
        for renter, more, honest in promised:
            total = self.market.redeemed[farmer, renter.address] + more
            key = renter.private_key if honest else STRANGER.private_key
            voucher = messages.sign_voucher(self.chain.domain, key, farmer=FarmerId(farmer), cumulative=total)
            vouchers.append(replace(voucher, renter=renter.address))
        known = [
            (voucher.renter, voucher.cumulative, bool(honest))
            for voucher, (_, _, honest) in zip(vouchers, promised, strict=True)
        ]
        call = calls.redeem(FarmerId(farmer), vouchers)
        self.attempt(STRANGER.address, call, lambda market: market.redeem(farmer, known))

    # time and proofs

    @rule(blocks=st.one_of(st.integers(1, 5), st.integers(1, 30)))
    def time_passes(self, blocks: int) -> None:
        self.pass_blocks(blocks)

    @rule(lazy=st.lists(lazy_ones, min_size=1, max_size=3))
    def season(self, lazy: list[frozenset[int]]) -> None:
        """Some epochs, in each of which some farmers do not prove."""
        for ones in lazy:
            first = (self.chain.block // self.p.epoch_blocks + 1) * self.p.epoch_blocks
            self.pass_blocks(first - self.chain.block)
            self._prove_all_but(ones)

    @rule(lazy=lazy_ones)
    def prove_now(self, lazy: frozenset[int]) -> None:
        self._prove_all_but(lazy)

    @rule(data=st.data())
    def prove_any(self, data: st.DataObject) -> None:
        """By whoever, asked or not."""
        self.prove(self.farmer(data))

    def _prove_all_but(self, lazy: frozenset[int]) -> None:
        for number, farmer in enumerate(self.market.farmers, 1):
            epoch = self.next_epoch
            if number not in lazy and epoch not in farmer.proven and farmer.rate_asked(epoch):
                self.prove(number)

    @rule(data=st.data())
    def prove_wrongly(self, data: st.DataObject) -> None:
        """One word of a right proof is changed, missing or too many: nothing happens."""
        farmer = data.draw(st.integers(1, len(self.market.farmers)), label="farmer")
        first = self.chain.evm.block(self.next_epoch * self.p.epoch_blocks)
        if first is None:
            return
        words = self.keeper.proof(farmer, self.next_epoch, first.hash, self.p.samples)
        if not words:
            return
        at = data.draw(st.integers(0, 199), label="word") % len(words)
        # The bits that no part of a head uses are cut off before anything is checked.
        flipped = (int.from_bytes(words[at]) ^ 1 << data.draw(st.integers(0, 7))).to_bytes(32)
        ways = {
            "changed": [*words[:at], flipped, *words[at + 1 :]],
            "cut": words[:at],
            "too long": [*words, words[at]],
        }
        wrong = ways[data.draw(st.sampled_from(sorted(ways)), label="how")]
        call = calls.prove(FarmerId(farmer), Epoch(self.next_epoch), wrong)
        refusal = self.chain.refusal(STRANGER.address, call)
        assert refusal is not None, "a wrong proof was accepted"
        PLAYED[f"prove {refusal}"] += 1

    # orders

    @rule(
        data=st.data(),
        renter=st.sampled_from(RENTERS),
        leaf_count=st.integers(1, 5),
        early=st.sampled_from([0, 1, 2] * 10 + [99, -1]),
        off=st.sampled_from([0] * 50 + [1]),
        k=st.sampled_from([1] * 50 + [0, 9]),
    )
    def place_order(
        self, *, data: st.DataObject, renter: Wallet, leaf_count: int, early: int, off: int, k: int
    ) -> None:
        """Until the last date there is, or some dates earlier."""
        dates = 0 if early == 99 else max(1, self.p.max_books - early)
        self.place(data, renter, leaf_count=leaf_count, dates=dates, off=off, k=k)

    def place(
        self, data: st.DataObject, renter: Wallet, *, leaf_count: int, dates: int, off: int, k: int
    ) -> None:
        grid = self.p.grid_epochs
        end = (self.next_epoch // grid + dates) * grid + off
        offers = [
            (farmer, rate, self.keeper.make(b"%d %d" % (self.salts, number), leaf_count), honest, in_time)
            for number, (farmer, rate, honest, in_time) in enumerate(self._offers(data))
        ]
        self.fill(renter.address, end, (leaf_count, 1, k), offers)

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
        slip=st.sampled_from(["none"] * 15 + ["root", "shape", "renter"]),
        wait=st.integers(0, 9),
    )
    def extend(self, data: st.DataObject, dates: int, same: bool, slip: str, wait: int) -> None:
        previous = self._unended(data)
        old = self.market.orders[previous]
        grid, blocks = self.p.grid_epochs, self.p.epoch_blocks
        if wait:
            self.pass_blocks((old.end - grid) * blocks - self.chain.block)
        roots = [one.root for one in old.slots]
        if same:
            offers = [(one.farmer, one.rate, True, True) for one in old.slots]
        else:
            offers = self._offers(data, len(roots))
        if slip == "root":
            roots[-1] = bytes(32)
        leaf_count = old.leaf_count + (slip == "shape")
        renter = STRANGER.address if slip == "renter" else old.renter
        full = [(f, r, root, *rest) for (f, r, *rest), root in zip(offers, roots, strict=True)]
        shape = (leaf_count, old.piece_leaves, old.k)
        self.fill(renter, old.end + dates * grid, shape, full, previous)  # type: ignore[arg-type]

    @precondition(lambda self: any(self._vacant(order) for order in self.market.orders.values()))
    @rule(data=st.data(), many=st.booleans(), caller=actors, repairer=actors, wait=st.integers(0, 12))
    def refill_vacant(self, data: st.DataObject, many: bool, caller: str, repairer: str, wait: int) -> None:
        """Slots of an order that has vacant ones, by farmers that are not in it."""
        self.pass_blocks(wait)
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
        if not outside and len(self.market.farmers) < MAX_FARMERS:
            self.new_farmer(OWNERS[1].address, OPERATORS[0].address, 100_000)
            outside = [len(self.market.farmers)]
        chosen = data.draw(st.permutations(self._vacant(order)), label="slots")
        farmers = data.draw(st.permutations(outside or [1]), label="farmers")
        pairs = list(zip(chosen, farmers, strict=False))
        self._refill(order_id, pairs if many else pairs[:1], caller, repairer, honest=True)

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
        self._refill(order_id, [(slot, farmer)], caller, repairer, bool(honest))

    def _vacant(self, order: Order) -> list[int]:
        """Slots that could be taken over, by the look of it."""
        found = []
        for number, tenure in enumerate(order.slots):
            farmer = self.market.farmers[tenure.farmer - 1]
            if tenure.lost_epoch is not None or farmer.vacant_from is not None:
                found.append(number)
        return found if order.start <= self.next_epoch < order.end - 1 else []

    def _refill(
        self, order_id: bytes, pairs: list[tuple[int, int]], caller: str, repairer: str, honest: bool
    ) -> None:
        order = self.market.orders[order_id]
        before = {key_of(one) for one in order.slots}
        takeovers, takings = [], []
        for slot, farmer in pairs:
            tenure = order.slots[min(slot, len(order.slots) - 1)]
            wallet, deadline = self.signer_of(farmer, honest), self.chain.block + 1
            takeovers.append(
                messages.sign_takeover(
                    self.chain.domain,
                    wallet.private_key,
                    order=OrderId(order_id),
                    farmer=FarmerId(farmer),
                    slot=slot,
                    root=tenure.root,
                    leaf_count=order.leaf_count,
                    rate=tenure.rate,
                    end=Epoch(order.end),
                    deadline_block=deadline,
                    replaces=Epoch(tenure.start),
                    repairer=Address(repairer),
                )
            )
            takings.append(Taking(slot=slot, farmer=farmer, deadline_block=deadline, signer=wallet.address))
        call = calls.refill(self.held(order_id), Address(repairer), takeovers)
        if self.attempt(caller, call, lambda market: market.refill(caller, order_id, repairer, takings)):
            order = self.market.orders[order_id]
            for tenure in order.slots:
                if key_of(tenure) not in before:
                    self.keeper.keep(tenure, order.leaf_count)

    @precondition(lambda self: self.market.orders)
    @rule(data=st.data(), caller=actors, wait=st.sampled_from([False, True, True]))
    def close(self, data: st.DataObject, caller: str, wait: bool) -> None:
        order_id = self.order(data)
        if wait:
            end = self.market.orders[order_id].end
            # Not always beyond: a far end would make an end of all other orders too.
            if end - self.next_epoch <= 2 * self.p.grid_epochs:
                self.pass_blocks(end * self.p.epoch_blocks - self.chain.block)
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
        words = self.keeper.loss_words(_tenures(farmer, keys))
        epoch = self.next_epoch
        call = calls.declare_loss(FarmerId(number), Epoch(end), words, extension=extension)

        def act(market: Market) -> None:
            lost = _tenures(market.farmers[number - 1], keys)
            market.declare_loss(caller, number, end, extension, lost)

        if self.attempt(caller, call, act):
            for tenure in _tenures(self.market.farmers[number - 1], keys):
                self.keeper.lose(tenure, epoch)

    @rule(data=st.data(), caller=actors)
    def evict(self, data: st.DataObject, caller: str) -> None:
        lapsed = [
            number
            for number, one in enumerate(self.market.farmers, 1)
            if one.vacant_from is not None and not one.evicted_block
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
        self.seen = (-1, -1)
        self.pass_blocks(1)

    # what must hold

    @invariant()
    def the_contract_is_as_the_model(self) -> None:
        """All balances and farmers whenever they could have changed; one farmer and one order in turn."""
        if not self.sound:
            return
        now = (PLAYED.total(), self.market.epoch)
        if now == self.seen:
            return
        self.sound = False
        self.turn += 1
        self._compare_balances(ADDRESSES if now[0] != self.seen[0] else ADDRESSES[:1])
        self._compare_farmers()
        self.seen = now
        if self.market.farmers:
            self._compare_farmer(self.turn % len(self.market.farmers) + 1)
        if ids := sorted(self.market.used_ids):
            self._compare_order(ids[self.turn % len(ids)])
        self.sound = True

    def _compare_balances(self, accounts: Sequence[str] = ADDRESSES) -> None:
        market, ask = self.market, self.chain.ask
        for account in (*accounts, BURNT):
            shown = (ask("vault", account), ask("earnings", account))
            assert shown == (market.vaults[account], market.earnings[account]), account
        account = ADDRESSES[self.turn % len(ADDRESSES)]
        assert self.chain.tokens(account) == market.wallets[account]
        amount, ready = market.withdrawals.get(account, (0, 0))
        assert ask("withdrawal", account) == {"amount": amount, "ready_epoch": ready}
        assert self.chain.tokens(self.chain.market) == market.tokens
        assert market.tokens == market.owed(), "the market does not hold what it owes"

    def _compare_farmers(self) -> None:
        epoch = self.market.epoch
        shown = self.chain.ask("farmers", 1, 100)
        assert len(shown) == len(self.market.farmers)
        for one, farmer in zip(shown, self.market.farmers, strict=True):
            evicted = farmer.evicted_block > 0
            # Of a farmer that lapsed, what it was committed to when it did: an eviction is about that.
            known_at = epoch if farmer.vacant_from is None else farmer.vacant_from
            expected = {
                "owner": farmer.owner,
                "operator": farmer.operator,
                "stake": farmer.stake,
                "committed_rate": 0 if evicted else farmer.rate_committed(known_at),
                "settled_epoch": self.market.settled_epoch(farmer),
                "misses": len(farmer.missed),
                "strikes": farmer.strikes,
                "lapsed": farmer.vacant_from is not None,
            }
            found = {name: one[name] for name in expected}
            assert found == expected, f"the contract shows {found}, the model {expected}"
            assert not farmer.missed & farmer.proven

    def _compare_farmer(self, number: int) -> None:
        market, ask, farmer = self.market, self.chain.ask, self.market.farmers[number - 1]
        epoch, grid = market.epoch, self.p.grid_epochs
        assert ask("eviction", number) == {
            "evicted_block": farmer.evicted_block,
            "collateral_epochs": farmer.collateral_epochs,
        }
        for ahead in (epoch, epoch + 1, (epoch // grid + 1) * grid):
            expected = 0 if farmer.vacant_from is not None else farmer.rate_asked(ahead)
            assert ask("rateAt", number, ahead) == expected
        for before in {max(0, epoch - 1), max(0, epoch - self.turn % 9), *sorted(farmer.missed)[-1:]}:
            assert ask("missed", number, before) == (before in farmer.missed)
        for renter in RENTERS:
            assert ask("redeemed", number, renter.address) == market.redeemed[number, renter.address]
        for (end, extension), book in self.keeper.books.get(number, {}).items():
            shown = ask("book", number, end, extension)
            if end <= epoch:
                assert not any(shown.values()), "a book is shown after its end"
                continue
            assert (shown["count"], list(shown["peaks"])) == (len(book.entries), book.mountain.peaks)
            assert (shown["rate_before"], shown["rate_added"]) == (book.rate_before, book.rate_added)
            assert shown["added_epoch"] == book.added_epoch
            lost = sum(book.entries[index].rate for index in book.lost_epochs)
            assert shown["lost_before"] + shown["lost_added"] == lost

    def _compare_order(self, order_id: bytes) -> None:
        shown = self.chain.ask("order", order_id)
        order = self.market.orders.get(order_id)
        if order is None:
            assert (int(shown["renter"], 16), shown["slots_hash"]) == (0, bytes(32))
            return
        held = self.held(order_id)
        assert shown == {
            "renter": order.renter,
            "from": order.start,
            "end": order.end,
            "k": order.k,
            "n": len(order.slots),
            "slots_hash": messages.slots_hash(held.leaf_count, held.piece_leaves, held.slots),
        }
        for tenure in order.slots:
            loss = self.chain.ask("loss", order_id, tenure.slot, tenure.start)
            assert loss["lost_epoch"] == (tenure.lost_epoch or 0)
            assert loss["collateral"] == tenure.lost_collateral_epochs * tenure.rate

    def teardown(self) -> None:
        try:
            if self.sound:
                self._everybody_leaves()
        finally:
            while self.marks:
                self.marks.pop()
            self.chain.go_back(self.start)

    def _everybody_leaves(self) -> None:
        """All orders end and are closed, all farmers leave, all money is taken out: nothing is left."""
        for number in range(1, len(self.market.farmers) + 1):
            self._compare_farmer(number)
        for order_id in sorted(self.market.used_ids):
            self._compare_order(order_id)
        last = max((order.end for order in self.market.orders.values()), default=0)
        self.pass_blocks(last * self.p.epoch_blocks - self.chain.block)
        for order_id in sorted(self.market.orders):
            call = calls.close(self.held(order_id))
            assert self.attempt(STRANGER.address, call, lambda m, o=order_id: m.close(STRANGER.address, o))  # type: ignore[misc]
        for number in range(1, len(self.market.farmers) + 1):
            self._leave(number)
        for account in ADDRESSES:
            if amount := self.market.earnings[account]:
                call = calls.claim(Address(account), amount)
                assert self.attempt(account, call, lambda m, a=account, x=amount: m.claim(a, a, x))  # type: ignore[misc]
            if self.market.vaults[account]:
                amount = 2**200
                call = calls.request_withdrawal(amount)
                assert self.attempt(account, call, lambda m, a=account, x=amount: m.request_withdrawal(a, x))  # type: ignore[misc]
        self.pass_blocks((self.p.withdraw_delay_epochs + 1) * self.p.epoch_blocks)
        for account in ADDRESSES:
            if self.market.vaults[account]:
                call = calls.withdraw(Address(account))
                assert self.attempt(account, call, lambda m, a=account: m.withdraw(a, a))  # type: ignore[misc]
        if self.market.earnings[BURNT]:
            assert self.attempt(STRANGER.address, calls.burn(), lambda m: m.burn())
        self._compare_balances()
        self._compare_farmers()
        assert (self.market.tokens, self.market.escrow) == (0, 0), "something is stuck"

    def _leave(self, number: int) -> None:
        farmer = self.market.farmers[number - 1]
        if farmer.vacant_from is None:
            owner, stake = farmer.owner, farmer.stake
            if stake:
                call = calls.unstake(FarmerId(number), stake)
                assert self.attempt(owner, call, lambda m: m.unstake(owner, number, stake))
            else:
                self.attempt(STRANGER.address, calls.settle(FarmerId(number)), lambda m: m.settle(number))
        elif not farmer.evicted_block:
            call = calls.evict(FarmerId(number))
            assert self.attempt(STRANGER.address, call, lambda m: m.evict(STRANGER.address, number))


def _tenures(farmer: Farmer, keys: Sequence[Key]) -> list[Tenure]:
    by_key = {key_of(one): one for one in farmer.tenures}
    return [by_key[key] for key in keys]


NO_TOKEN = address_from(bytes(20))
