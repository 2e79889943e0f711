"""Playing a call on the contract and on the model at once.

Every action is first asked of the model: it says which error the contract must refuse with, or that it must
go through, and with which events. Decides who there is, and builds the calls that take signatures or proofs.
Leaves what is played to `story` and `errands`, and what else must agree to `checking`.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from hypothesis import currently_in_test_context, event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from grange import messages
from grange.chain import Call, Wallet, calls
from grange.types import (
    Address,
    Epoch,
    FarmerId,
    Held,
    Offer,
    OperatorConsent,
    OrderId,
    Parameters,
    Parting,
    Passing,
    Permit,
    Slot,
    Terms,
)
from grange.units import TOKEN

from .keeper import Keeper, key_of
from .model import MAX_RATE, Market, Offered, Refused, SlotAssignment, Tenure
from .stage import FUNDS, Stage

MAX_FARMERS = 6
"""That have not left; of all together twice as many."""
ACTORS = [Wallet(bytes([number]) * 32) for number in range(2, 10)]
RENTERS, OWNERS, OPERATORS, STRANGER = ACTORS[:2], ACTORS[2:4], ACTORS[4:7], ACTORS[7]
ADDRESSES = [one.address for one in ACTORS]
OFFER = Offer(price_per_gib_epoch=TOKEN, egress_price_per_gib=0, capacity_bytes=1, longest_term_epochs=1)

DEPOSIT = 40_000
"""What comes with a permit."""

PermitKind = Literal["none", "good", "bad"]
permits: st.SearchStrategy[PermitKind] = st.sampled_from(["none", "none", "none", "good", "good", "bad"])

PLAYED: Counter[str] = Counter()
"""How often which call went through or was refused, over all stories: printed by the tests."""

COMPARED = {
    "Proven",
    "Redeemed",
    "DelegateSpent",
    "LossDeclared",
    "Evicted",
    "SlotVacated",
    "OrderClosed",
    "SlotHandedOver",
    "Released",
    "SlotRecovered",
    "ExtendedByMandate",
}
"""Events whose every value is the model's to say."""


class Playing(RuleBasedStateMachine):
    """A story that can be played. Subclasses say under which parameters."""

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
        self.outcome = ""
        """The newest call, and the error with which it was refused."""
        self.seen_block = -1
        self.compared_block = -1
        self.marks: list[tuple[Any, bytes]] = []

    def attempt(self, sender: str, call: Call, act: Callable[[Market], None]) -> bool:
        """Play an action on both; whether it went through."""
        self.sound = False
        expected = self.foretold(act)
        refusal = self.chain.refusal(Address(sender), call)
        assert refusal == expected, f"{call.function}: the contract says {refusal}, the model {expected}"
        if expected is None:
            self.market.advance(self.chain.block + 1)
            self.market.told.clear()
            act(self.market)
            self.chain.send(Address(sender), call)
            told = [one for one in self.chain.told() if one[0] in COMPARED]
            assert told == self.market.told, call.function
        self.outcome = f"{call.function} {expected or ''}".strip()
        PLAYED[self.outcome] += 1
        if currently_in_test_context():
            event(self.outcome)
        self.sound = True
        return expected is None

    def foretold(self, act: Callable[[Market], None]) -> str | None:
        """The error with which the rules refuse an action in the next block; None if they allow it."""
        market: Market = pickle.loads(pickle.dumps(self.market))
        market.advance(self.chain.block + 1)
        try:
            act(market)
        except Refused as refused:
            return refused.name
        return None

    def pass_blocks(self, blocks: int) -> None:
        if blocks > 0:
            self.chain.mine(blocks)
            self.market.advance(self.chain.block)

    def pass_to_next_epoch(self) -> None:
        """Up to the epoch's first block: from the next on it can be proven."""
        self.pass_blocks(self.p.epoch_blocks - self.chain.block % self.p.epoch_blocks)

    def live_to(self, block: int, *, first: Sequence[int] = (), lazy: frozenset[int] = frozenset()) -> None:
        """Let time pass up to a block; in each epoch that begins farmers prove, some of them first."""
        while (self.chain.block // self.p.epoch_blocks + 1) * self.p.epoch_blocks <= block:
            self.pass_to_next_epoch()
            self.prove_all_but(lazy, first=first)
        self.pass_blocks(block - self.chain.block)

    def prove_all_but(self, lazy: frozenset[int], *, first: Sequence[int] = ()) -> None:
        """All of whom a proof is wanted prove, some of them first, as long as the epoch lasts."""
        epoch = self.next_epoch
        for number in dict.fromkeys([*first, *range(1, len(self.market.farmers) + 1)]):
            if number not in lazy and self.next_epoch == epoch and self.is_asked(number):
                self.prove(number)

    def is_asked(self, number: int) -> bool:
        """Whether a farmer has something to prove in the next transaction's epoch."""
        farmer, epoch = self.market.farmers[number - 1], self.next_epoch
        return farmer.vacant_from is None and epoch not in farmer.proven and farmer.rate_asked(epoch) > 0

    def room_for_farmers(self) -> bool:
        """Whether one more may join."""
        living = sum(one.vacant_from is None for one in self.market.farmers)
        return living < MAX_FARMERS and len(self.market.farmers) < 2 * MAX_FARMERS

    @property
    def next_epoch(self) -> int:
        """The epoch of the next transaction."""
        return (self.chain.block + 1) // self.p.epoch_blocks

    def farmer(self, data: st.DataObject) -> int:
        """Any farmer, now and then nobody."""
        return (
            data.draw(st.integers(1, len(self.market.farmers) + 1), label="farmer")
            if (data.draw(st.integers(0, 9), label="nobody?") == 0)
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
            Slot(
                farmer=FarmerId(one.farmer),
                root=one.root,
                rate=one.rate,
                max_egress_price_per_gib=one.max_egress_price_per_gib,
                start=Epoch(one.start),
            )
            for one in order.slots
        )
        return Held(
            order=OrderId(order_id), leaf_count=order.leaf_count, piece_leaves=order.piece_leaves, slots=slots
        )

    def consent(self, operator: str, owner: str, farmer: int, *, honest: bool) -> OperatorConsent:
        """The operator's to act for a farmer, or a stranger's."""
        wallet = next(one for one in ACTORS if (one.address == operator) == honest)
        return messages.sign_operator_consent(
            self.chain.domain,
            wallet.private_key,
            owner=Address(owner),
            farmer=FarmerId(farmer),
            nonce=self.chain.ask("consentNonce", operator),
            deadline_block=self.chain.block + 1,
        )

    def permit(self, account: str, value: int, *, honest: bool) -> Permit:
        """The account's for the market, or one that a stranger signed."""
        signer = next(one for one in ACTORS if (one.address == account) == honest)
        return self.chain.permit(Address(account), signer, value)

    def approve_again(self, account: str) -> None:
        """A permit takes the place of what was approved before."""
        if self.market.allowances[account] < FUNDS // 2:
            self.chain.approve(Address(account))
            self.market.advance(self.chain.block)
            self.market.allowances[account] = FUNDS

    def new_farmer(
        self,
        owner: str,
        operator: str,
        stake: int,
        *,
        honest: bool = True,
        permitted: PermitKind = "none",
    ) -> bool:
        """With a bad permit for more than the market may pull it is the permit that is refused."""
        value = stake + 2 * FUNDS * (permitted == "bad")
        endpoint = f"at {len(self.market.farmers)}"
        permit = None if permitted == "none" else self.permit(owner, value, honest=permitted == "good")
        pulled = value if permitted == "bad" else stake

        def act(market: Market) -> None:
            if permitted != "none":
                market.use_permit(owner, value, pulled, honest=permitted == "good")
            market.register(owner, owner, operator, endpoint, pulled, consented=honest)

        call = calls.register(
            owner=Address(owner),
            operator=Address(operator),
            endpoint=endpoint,
            offer=OFFER,
            stake=pulled,
            consent=self.consent(operator, owner, messages.NEW_FARMER, honest=honest),
            permit=permit,
        )
        joined = self.attempt(owner, call, act)
        if joined:
            self.approve_again(owner)
        return joined

    def proof(self, farmer: int) -> list[bytes]:
        """The words that prove the next transaction's epoch; none if its first block is not there yet."""
        first = self.chain.evm.block(self.next_epoch * self.p.epoch_blocks)
        return self.keeper.proof(farmer, self.next_epoch, first.hash, self.p.samples) if first else []

    def prove(self, farmer: int) -> bool:
        epoch = self.next_epoch
        call = calls.prove(FarmerId(farmer), Epoch(epoch), self.proof(farmer))
        return self.attempt(STRANGER.address, call, lambda market: market.prove(farmer, epoch))

    def fill(
        self,
        account: str,
        end: int,
        shape: tuple[int, int, int],
        offers: Sequence[tuple[int, int, bytes, bool, bool]],
        previous: bytes | None = None,
        *,
        sender: str,
        permitted: PermitKind = "none",
    ) -> bytes | None:
        """`place` or `extend`, of an account, by itself or a delegate; with a permit the sender first pays
        in. Offers are farmer, rate, root, whether honestly signed, whether in time. Gives the order's id
        if it went through."""
        leaf_count, piece_leaves, k = shape
        salt = self.salts.to_bytes(32)
        self.salts += 1
        order = messages.order_id(Address(account), salt, sender=Address(sender))
        terms = Terms(
            salt=salt,
            end=Epoch(end),
            leaf_count=leaf_count,
            piece_leaves=piece_leaves,
            k=k,
            allows_hand_over=True,
        )
        offered, acceptances = [], []
        for number, (farmer, rate, root, honest, in_time) in enumerate(offers):
            deadline = self.chain.block + (1 if in_time else 0)
            wallet = self.signer_of(farmer, honest)
            fields: dict[str, Any] = {
                "farmer": FarmerId(farmer),
                "root": root,
                "rate": rate,
                "max_egress_price_per_gib": (11 * rate + number) % MAX_RATE,
            }
            acceptances.append(
                messages.sign_acceptance(
                    self.chain.domain,
                    wallet.private_key,
                    messages.AcceptanceMessage(
                        order=order,
                        slot=number,
                        leaf_count=leaf_count,
                        end=Epoch(end),
                        deadline_block=deadline,
                        previous=messages.NO_ORDER if previous is None else OrderId(previous),
                        **fields,
                    ),
                )
            )
            offered.append(Offered(deadline_block=deadline, signer=wallet.address, **fields))

        value = DEPOSIT + 2 * FUNDS * (permitted == "bad")
        permit = None if permitted == "none" else self.permit(sender, value, honest=permitted == "good")

        def act(market: Market) -> None:
            if permitted != "none":
                market.deposit_with_permit(sender, value, honest=permitted == "good")
            if previous is None:
                market.place(sender, account, order, end=end, shape=shape, offered=offered)
            else:
                market.extend(sender, previous, order=order, end=end, shape=shape, offered=offered)

        if previous is None:
            on_behalf = None if sender == account else Address(account)
            call = calls.place(terms, acceptances, permit=permit, account=on_behalf)
        else:
            call = calls.extend(self.held(previous), terms, acceptances, permit)
        if not self.attempt(sender, call, act):
            return None
        self.approve_again(sender)
        for tenure in self.market.orders[order].slots:
            self.keeper.keep(tenure, leaf_count)
        return order

    def hand_over_slot(self, caller: str, giver: int, tenure: Tenure, taker: int, *, honest: bool) -> bool:
        """One slot, to one farmer."""
        order_id = tenure.order
        order = self.market.orders[order_id]
        wallet, deadline = self.signer_of(taker, honest), self.chain.block + 1
        takeover = messages.sign_takeover(
            self.chain.domain,
            wallet.private_key,
            messages.AcceptanceMessage(
                order=OrderId(order_id),
                farmer=FarmerId(taker),
                slot=tenure.slot,
                root=tenure.root,
                leaf_count=order.leaf_count,
                rate=tenure.rate,
                max_egress_price_per_gib=tenure.max_egress_price_per_gib,
                end=Epoch(order.end),
                deadline_block=deadline,
                previous=messages.tenure_word(Epoch(tenure.start)),
                giver=FarmerId(giver),
            ),
        )
        index, first, path = self.keeper.place_of(tenure)
        passing = Passing(
            held=messages.held_group(self.held(order_id), tenure.slot),
            index=index,
            first=first,
            path=path,
            takeover=takeover,
        )
        assignment = SlotAssignment(
            slot=tenure.slot, farmer=taker, deadline_block=deadline, signer=wallet.address
        )
        key, epoch = key_of(tenure), self.next_epoch
        parting = Parting(end=Epoch(order.end), extension=tenure.extension, passings=(passing,))
        call = calls.hand_over(FarmerId(giver), [parting])

        def act(market: Market) -> None:
            market.hand_over(caller, giver, order_id, assignment)

        went_through = self.attempt(caller, call, act)
        if went_through:
            self.keeper.lose(
                next(one for one in self.market.farmers[giver - 1].tenures if key_of(one) == key), epoch
            )
            self.keeper.keep(self.market.orders[order_id].slots[tenure.slot], order.leaf_count)
        return went_through

    def refill(
        self, order_id: bytes, pairs: list[tuple[int, int]], caller: str, repairer: str, honest: bool
    ) -> bool:
        order = self.market.orders[order_id]
        before = list(order.slots)
        takeovers, assignments = [], []
        for slot, farmer in pairs:
            tenure = order.slots[min(slot, len(order.slots) - 1)]
            wallet, deadline = self.signer_of(farmer, honest), self.chain.block + 1
            takeovers.append(
                messages.sign_takeover(
                    self.chain.domain,
                    wallet.private_key,
                    messages.AcceptanceMessage(
                        order=OrderId(order_id),
                        farmer=FarmerId(farmer),
                        slot=slot,
                        root=tenure.root,
                        leaf_count=order.leaf_count,
                        rate=tenure.rate,
                        max_egress_price_per_gib=tenure.max_egress_price_per_gib,
                        end=Epoch(order.end),
                        deadline_block=deadline,
                        previous=messages.tenure_word(Epoch(tenure.start)),
                        repairer=Address(repairer),
                    ),
                )
            )
            assignments.append(
                SlotAssignment(slot=slot, farmer=farmer, deadline_block=deadline, signer=wallet.address)
            )
        call = calls.refill(self.held(order_id), Address(repairer), takeovers)
        went_through = self.attempt(
            caller, call, lambda market: market.refill(caller, order_id, repairer, assignments)
        )
        if went_through:
            for old, tenure in zip(before, order.slots, strict=True):
                if tenure is not old:
                    self.keeper.keep(tenure, order.leaf_count)
        return went_through
