"""What the node's tests share: a chain in memory, a renter, and a farm around them.

`FakeMarket` is the node's market over a `FakeChain`: events are followed by the real EventFollower, and
proofs are judged by `grange.audit` over books built from the events, as the contract would.
"""

import asyncio
import errno
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from fake_chain import BLOCK_SECONDS, FakeChain, unconnected
from fastapi import FastAPI
from market_rules import PARAMETERS

from grange.audit import BookState, verify_proof
from grange.chain import (
    Book,
    ChainUnavailable,
    Farmer,
    FeesAboveCap,
    Loss,
    Order,
    Receipt,
    TransactionReverted,
    Wallet,
)
from grange.chain.fee_settings import FeeSettings
from grange.chain.gas_value import FREE_GAS, GasValue
from grange.chain.views import Delegation, Withdrawal
from grange.errors import BadProof, BadSignature
from grange.executors import Executors
from grange.keccak import keccak256
from grange.merkle import merkle_root, root_of_hashes
from grange.messages import (
    NO_CONTENT,
    Domain,
    order_id,
    recover,
    request_digest,
    sign_digest,
    voucher_signer,
)
from grange.mountain import entry_hash, path_length
from grange.mountain import verify as verify_path
from grange.seeds import seed_block
from grange.types import (
    GROUP_SLOTS,
    NO_LIMIT,
    Address,
    Epoch,
    FarmerId,
    Held,
    HeldGroup,
    Offer,
    OrderId,
    Parameters,
    Parting,
    Passing,
    Slot,
    Voucher,
    address_from,
)
from grange.units import GIB, LEAF_BYTES, TOKEN, TOKEN_DECIMALS, rate_rounded_up
from grange.wire import paths
from grange.wire.headers import Authorization
from grange_node.api.app import create_app
from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.funding import GasReserve
from grange_node.chain.order_state import ReadableOrder
from grange_node.config import Config, OfferFile, ParametersFile, TokenFile, parameters_file
from grange_node.files import DiskFiles, Files
from grange_node.ledger.books import books_from
from grange_node.node import Node
from grange_node.payer import Payer, payer_of
from grange_node.pieces.volume import Volume
from grange_node.records import Entry
from grange_node.slot_key import SlotKey

CHAIN_ID = 1337
MARKET = address_from(b"\x11" * 20)
DOMAIN = Domain(chain_id=CHAIN_ID, market=MARKET)
FARMER = FarmerId(7)
OPERATOR = Wallet(b"\x01" * 32)
PIECE_LEAVES = 4
PIECE_BYTES = PIECE_LEAVES * LEAF_BYTES
OFFER = Offer(
    price_per_gib_epoch=TOKEN, egress_price_per_gib=0, capacity_bytes=16 << 20, longest_term_epochs=40
)


NOBODYS = Delegation(
    per_epoch=0,
    in_all=0,
    until_epoch=Epoch(0),
    spent_in_epoch=0,
    spent=0,
    left_for_orders=0,
    left_for_vouchers=0,
)


@dataclass
class Clock:
    """Unix seconds that only move when told to, and beside them the seconds that really pass."""

    now: float = 1_700_000_000.0
    set_by: float = 0.0

    def __call__(self) -> float:
        return self.now

    def steady(self) -> float:
        """Seconds by a clock that nobody sets."""
        return self.now - self.set_by

    def set_ahead(self, seconds: float) -> None:
        """Somebody sets the time of day: no time passes."""
        self.now += seconds
        self.set_by += seconds


@dataclass(kw_only=True)
class FakeWallet:
    """A contract wallet: what it says when it is asked, and when the chain asks it."""

    owner: Address
    denies: bool = False
    denies_chain: bool = False
    spoils_call: bool = False
    """Whether it answers the chain so that the whole call fails, when that was sent."""

    def says_yes(self, digest: bytes, signature: bytes) -> bool:
        """Whether it calls a signature its own: its owner's."""
        try:
            return not self.denies and recover(digest, signature) == self.owner
        except BadSignature:
            return False


class FakeMarket(FakeChain, FarmMarket):
    """A market with one farmer, in memory."""

    def __init__(self, stake: int = 1000 * TOKEN, rules: Parameters = PARAMETERS) -> None:
        FakeChain.__init__(self, rules)
        config: Any = SimpleNamespace(farmer=FARMER, parameters=rules, offer=OFFER, fees=FeeSettings())
        FarmMarket.__init__(self, config, unconnected(DOMAIN, OPERATOR, rules))
        self.stake = stake
        self.lapsed = False
        self.operator = OPERATOR.address
        self.endpoint = "http://127.0.0.1:1"
        self.gas_wei, self.proof_wei, self.base_wei = 10**18, 10**12, 1
        self.gas = FREE_GAS
        self.balances: dict[Address, int] = {}
        self.usual_balance = 1000 * TOKEN
        self.earned: dict[Address, int] = {}
        self.funds_asked = 0
        self.orders: dict[OrderId, Order] = {}
        self.states: dict[OrderId, ReadableOrder] = {}
        self.states_asked = 0
        self.strikes = 0
        self.vacant: set[tuple[OrderId, int]] = set()
        self.others: dict[FarmerId, Farmer] = {}
        """Farmers besides ours."""
        self.vaults: dict[Address, int] = {}
        self.redeemed_totals: dict[str, int] = {}
        self.announced: set[Address] = set()
        self.hand_overs: list[list[FarmerId]] = []
        """The takers of each transaction that handed slots over."""
        self.bonds: dict[tuple[FarmerId, Epoch], int] = {}
        """By taker and epoch, what is bound."""
        self.missing: set[FarmerId] = set()
        """Takers that have not proven since."""
        self.refused_takers: dict[FarmerId, str] = {}
        self.refused_orders: dict[OrderId, str] = {}
        """With which error nothing is handed over to these, or of these."""
        self.recoveries_refused = ""
        """With which error nothing is taken back."""
        self.delegations: dict[tuple[Address, Address], Delegation] = {}
        """By account and delegate."""
        self.delegations_asked = self.spoiled_calls = self.wallets_asked = self.wallets_asked_by_two = 0
        self.wallets: dict[Address, FakeWallet] = {}
        """Contracts that can be asked for signatures, by their addresses."""
        self.lost_counts: list[int] = []
        """How many slots each transaction gave up."""
        self.redemptions: list[int] = []
        """How many payers each transaction paid for."""
        self.means_asked = self.orders_asked = 0
        self.sent_proofs = self.seeds_sent = self.seeds_asked = 0
        self.farmers_registered = 1
        self.proofs: asyncio.Queue[Epoch] = asyncio.Queue()
        self.before_prove: Callable[[], None] | None = None
        self.lose_answer = False
        self.mine(15)

    # For the tests.

    def record(self) -> int:
        """A block in which somebody has the seed of its epoch recorded."""
        return self.mine(events=self._recording())

    def recorded_seed(self, epoch: int) -> bytes | None:
        recorded = (event.args for event in self.events("SeedRecorded"))
        return next((args["seed"] for args in recorded if args["epoch"] == epoch), None)

    def _recording(self) -> list[tuple[str, dict[str, Any]]]:
        """What the market says in the next block if its seed is recorded there."""
        block = self.height + 1
        epoch = Epoch(self.epoch_of(block))
        given_by = seed_block(epoch * self.rules.epoch_blocks, block)
        if given_by is None:
            raise TransactionReverted("recordSeed", "SeedUnavailable", {"epoch": epoch})
        if self.recorded_seed(epoch) is not None:
            return []
        return [("SeedRecorded", {"epoch": epoch, "seed": self.blocks[given_by].hash})]

    def mine_to_epoch(self, epoch: int, offset: int = 0) -> None:
        self.mine(epoch * self.rules.epoch_blocks + offset - self.height)

    def place(self, *slots: "PlacedSlot") -> int:
        """A block in which these slots are placed."""
        start = self.epoch_of(self.height + 1) + 1
        return self.mine(events=[("SlotFilled", slot.args(start)) for slot in slots])

    def extend(self, previous: "PlacedSlot", slot: "PlacedSlot") -> int:
        """A block in which the order of one slot is extended by that of another."""
        extended = {"order": slot.order, "previous": previous.order}
        filled = slot.args(previous.end, extension=True)
        return self.mine(events=[("SlotFilled", filled), ("OrderExtended", extended)])

    def stand(self, slot: "Parcel", **changes: Any) -> None:
        """How the order of a slot stands for anyone who asks who may read it: whole, with no other
        farmers."""
        state = ReadableOrder(
            renter=slot.renter.address, operators=frozenset(), is_vacant=False, is_eager=False
        )
        self.states[slot.order] = replace(state, **changes)

    def epoch_of(self, block: int) -> int:
        return block // self.rules.epoch_blocks

    def entries(self) -> list[Entry]:
        totals: dict[tuple[bool, int], tuple[int, int]] = {}
        found = []
        lost = {
            (event.args["order"], event.args["slot"], event.args["from"]): event.args["lost_epoch"]
            for event in self.events("LossDeclared")
        }
        handed_over = {
            (event.args["order"], event.args["slot"], event.args["from"]): event.args
            for event in self.events("SlotHandedOver")
        }
        lost |= {tenure: args["epoch"] for tenure, args in handed_over.items()}
        for event in self.events("SlotFilled"):
            args = event.args
            if args["farmer"] != FARMER:
                continue
            book = args["extension"], args["end"]
            index, first = totals.get(book, (0, 0))
            totals[book] = index + 1, first + args["rate"]
            found.append(
                Entry(
                    end=args["end"],
                    index=index,
                    order=args["order"],
                    slot=args["slot"],
                    root=args["root"],
                    leaf_count=args["leaf_count"],
                    start=args["from"],
                    first=first,
                    rate=args["rate"],
                    block=event.block,
                    extension=args["extension"],
                    lost_epoch=lost.get((args["order"], args["slot"], args["from"])),
                    taker=handed_over.get((args["order"], args["slot"], args["from"]), {}).get("taker"),
                )
            )
        found.sort(key=lambda entry: (entry.extension, entry.end, entry.index))
        return self._cut(found)

    def _cut(self, entries: list[Entry]) -> list[Entry]:
        """With what was cut off, by the losses in the order in which they came."""
        cut: dict[tuple[OrderId, int, Epoch], Epoch] = {}
        names = {(one.order, one.slot, one.start): one for one in entries}

        def front(book: tuple[bool, Epoch]) -> Entry | None:
            mine = (
                one for name, one in names.items() if name not in cut and (one.extension, one.end) == book
            )
            return next(mine, None)

        for event in (event for block in self.blocks for event in block.events):
            args = event.args
            if event.name in ("LossDeclared", "SlotHandedOver"):
                name = args["order"], args["slot"], args["from"]
                if name in names and front((names[name].extension, names[name].end)) is names[name]:
                    cut[name] = args["lost_epoch" if event.name == "LossDeclared" else "epoch"]
            elif event.name == "FrontCut":
                book = args["extension"], args["end"]
                while (one := front(book)) is not None and one.first < args["front"]:
                    cut[one.order, one.slot, one.start] = args["epoch"]
        return [replace(one, cut_epoch=cut.get(name)) for name, one in names.items()]

    @property
    def committed_rate(self) -> int:
        return sum(entry.rate for entry in self.entries() if entry.end > self.epoch and not entry.lost)

    # What the farm asks.

    async def seed(self, epoch: Epoch) -> bytes | None:
        self.ask()
        self.seeds_asked += 1
        return self.recorded_seed(epoch)

    async def farmer_count(self) -> int:
        self.ask()
        return self.farmers_registered

    async def record_seed(self, epoch: Epoch) -> Receipt:
        self.ask()
        if self.base_fee_wei >= self.sender.policy.max_fee_wei:
            raise FeesAboveCap(self.base_fee_wei, self.sender.policy.max_fee_wei)
        self.seeds_sent += 1
        return self.receipt(self.record(), 48_000)

    async def books(self, wanted: Sequence[tuple[Epoch, bool]]) -> list[Book]:
        self.ask()
        kept = {(book.end, book.extension): book for book in books_from(self.entries())}
        empty = BookState(Epoch(1))
        return [_book(kept.get(one, empty)) for one in wanted]

    async def own_farmer(self) -> Farmer:
        self.ask()
        proven = [event.args["epoch"] for event in self.events("Proven")]
        return Farmer(
            id=FARMER,
            owner=OPERATOR.address,
            operator=self.operator,
            stake=self.stake,
            committed_rate=self.committed_rate,
            settled_epoch=Epoch(max(proven, default=0)),
            misses=0,
            strikes=self.strikes,
            epochs_proven=0,
            registered_block=0,
            ceiling=NO_LIMIT,
            loss_limit=NO_LIMIT,
            lapsed=self.lapsed,
            endpoint=self.endpoint,
            offer=OFFER,
        )

    async def farmer(self, farmer: FarmerId) -> Farmer:
        self.ask()
        return self.others[farmer]

    async def gas_reserve(self) -> GasReserve:
        self.ask()
        cap = self.sender.policy.max_fee_wei
        return GasReserve(
            held_wei=self.gas_wei, proof_wei=self.proof_wei, base_wei=self.base_wei, cap_wei=cap
        )

    async def gas_value(self) -> GasValue:
        self.ask()
        return self.gas

    async def funds(self, account: Address) -> int:
        self.ask()
        self.funds_asked += 1
        return self.balances.get(account, self.usual_balance)

    async def wealth(self, account: Address) -> int:
        return await self.funds(account) + self.earned.get(account, 0)

    async def means(self, payer: Payer) -> tuple[int, int, int]:
        self.means_asked += 1
        return await super().means(payer)

    async def vault(self, address: Address) -> int:
        self.ask()
        return self.vaults.get(address, 0)

    async def redeemed(self, farmer: FarmerId, renter: Address, signer: Address | None = None) -> int:
        self.ask()
        return self.redeemed_totals.get(payer_of(renter, signer or renter), 0)

    async def withdrawal(self, address: Address) -> Withdrawal | None:
        self.ask()
        return Withdrawal(amount=1, ready_epoch=Epoch(10**6)) if address in self.announced else None

    async def delegation(self, account: Address, delegate: Address) -> Delegation:
        self.ask()
        self.delegations_asked += 1
        found = self.delegations.get((account, delegate), NOBODYS)
        return found if self.epoch < found.until_epoch else replace(found, left_for_orders=0)

    def authorize(self, account: Address, delegate: Address, limit: int, until_epoch: int) -> None:
        """Let a delegate spend so much, before an epoch."""
        self.delegations[account, delegate] = Delegation(
            per_epoch=limit,
            in_all=limit,
            until_epoch=Epoch(until_epoch),
            spent_in_epoch=0,
            spent=0,
            left_for_orders=limit,
            left_for_vouchers=limit,
        )

    async def is_approved(
        self, wallet: Address, digest: bytes, signature: bytes, *, by_two: bool = False
    ) -> bool:
        self.ask()
        self.wallets_asked += 1
        self.wallets_asked_by_two += by_two
        return wallet in self.wallets and self.wallets[wallet].says_yes(digest, signature)

    async def redeem(self, vouchers: Sequence[Voucher]) -> Receipt:
        self.ask()
        events: list[tuple[str, dict[str, Any]]] = []
        for voucher in vouchers:
            renter, signer = voucher.renter, voucher_signer(DOMAIN, voucher, farmer=FARMER)
            if voucher.is_of_wallet:
                wallet = self.wallets[renter]
                if wallet.spoils_call:
                    self.spoiled_calls += 1
                    raise TransactionReverted("redeem", "TooLittleGas", {}, bytes(32))
                if wallet.denies or wallet.denies_chain or signer != wallet.owner:
                    continue
                signer = renter
            assert signer == renter or (renter, signer) in self.delegations
            payer = payer_of(renter, signer)
            before = self.redeemed_totals.get(payer, 0)
            amount = min(voucher.cumulative - before, self.vaults.get(renter, 0))
            if amount <= 0:
                continue
            self.vaults[renter] -= amount
            self.redeemed_totals[payer] = before + amount
            args = {"farmer": FARMER, "renter": renter, "signer": signer, "amount": amount}
            args["redeemed"] = before + amount
            events.append(("Redeemed", args))
        if not events:
            raise TransactionReverted("redeem", "NothingToRedeem", {"farmer": FARMER})
        self.redemptions.append(len(events))
        block = self.mine(events=events)
        if self.lose_answer:
            raise ChainUnavailable("http://chain", "connection lost while waiting")
        return self.receipt(block, 100_000)

    async def order(self, order: OrderId) -> Order | None:
        self.ask()
        self.orders_asked += 1
        return self.orders.get(order)

    async def order_state(self, order: OrderId, *, is_running: bool = True) -> ReadableOrder | None:
        self.ask()
        self.states_asked += 1
        return self.states.get(order)

    async def is_vacant(self, order: OrderId, index: int, slot: Slot) -> bool:
        self.ask()
        return (order, index) in self.vacant

    async def prove(self, epoch: Epoch, words: Sequence[bytes]) -> Receipt:
        self.ask()
        if self.before_prove is not None:
            self.before_prove()
        farmer = await self.own_farmer()
        next_epoch = self.epoch_of(self.height + 1)
        if epoch != next_epoch:
            raise TransactionReverted("prove", "EpochNotCurrent", {"epoch": epoch, "current": next_epoch})
        if farmer.settled_epoch >= epoch:
            raise TransactionReverted("prove", "EpochSettled", {"epoch": epoch})
        books = books_from(self.entries())
        recording = self._recording()
        seed = recording[0][1]["seed"] if recording else self.recorded_seed(epoch)
        assert seed is not None
        try:
            verify_proof(
                seed=seed,
                farmer=FARMER,
                epoch=epoch,
                current_epoch=epoch,
                books=books,
                samples=self.rules.samples,
                words=words,
            )
        except BadProof as error:
            raise TransactionReverted("prove", type(error).__name__, {}) from error
        amount = sum(book.rate_asked(epoch) for book in books)
        proven = ("Proven", {"farmer": FARMER, "epoch": epoch, "amount": amount})
        block = self.mine(events=[*recording, proven])
        self.sent_proofs += 1
        self.proofs.put_nowait(epoch)
        if self.lose_answer:
            raise ChainUnavailable("http://chain", "connection lost while waiting")
        return self.receipt(block, 260_000)

    async def declare_loss(self, end: Epoch, words: Sequence[bytes], *, extension: bool) -> Receipt:
        self.ask()
        entries = [one for one in self.entries() if (one.end, one.extension) == (end, extension)]
        every = sum(entry.rate for entry in entries)
        lost = sum(entry.rate for entry in entries if entry.lost)
        events, cursor = [], 0
        while cursor < len(words):
            place = int.from_bytes(words[cursor + 1])
            entry = entries[place >> 72]
            assert (entry.order, entry.slot) == (words[cursor], place & 0xFF)
            if entry.lost:
                raise TransactionReverted("declareLoss", "AlreadyLost", {"slot": entry.slot})
            args = {
                "order": entry.order,
                "farmer": FARMER,
                "slot": entry.slot,
                "from": entry.start,
                "lost_epoch": self.epoch_of(self.height + 1),
                "collateral": 0,
            }
            events.append(("LossDeclared", args))
            lost += entry.rate
            cursor += 4 + path_length(entry.index, len(entries))
        front = sum(one.rate for one in entries if one.cut_epoch is not None)
        for one in entries[sum(one.cut_epoch is not None for one in entries) :]:
            if not any((one.order, one.slot) == (args["order"], args["slot"]) for _, args in events):
                break
            front += one.rate
        if lost != every and (every - lost) * 32 < every - front:
            raise TransactionReverted("declareLoss", "BookMostlyLost", {"all": every, "lost": lost})
        self.lost_counts.append(len(events))
        return self.receipt(self.mine(events=events), 100_000)

    async def loss(self, order: OrderId, slot: int, start: Epoch) -> Loss | None:
        self.ask()
        for event in self.events("LossDeclared"):
            args = event.args
            if (args["order"], args["slot"], args["from"]) == (order, slot, start):
                return Loss(
                    farmer=FARMER, lost_epoch=args["lost_epoch"], lost_block=event.block, collateral=0
                )
        return None

    async def hand_over(self, partings: Sequence[Parting], epoch: Epoch) -> Receipt:
        """Refuses what the market would of what a giver can do wrong."""
        self.ask()
        farmer = await self.own_farmer()
        if self.epoch_of(self.height + 1) != epoch or farmer.settled_epoch < epoch:
            raise TransactionReverted("handOver", "EpochNotProven", {"farmer": FARMER, "current": epoch})
        if self.strikes:
            raise TransactionReverted("handOver", "HasStrikes", {"farmer": FARMER, "strikes": self.strikes})
        events: list[tuple[str, dict[str, Any]]] = []
        orders, bonds = dict(self.orders), dict(self.bonds)
        try:
            for parting in partings:
                for passing in parting.passings:
                    events += self._passed(parting, passing, epoch)
                self._check_left(parting)
        except TransactionReverted:
            self.orders, self.bonds = orders, bonds
            raise
        passings = [passing for parting in partings for passing in parting.passings]
        self.hand_overs.append([passing.takeover.farmer for passing in passings])
        block = self.mine(events=events)
        if self.lose_answer:
            raise ChainUnavailable("http://chain", "connection lost while waiting")
        return self.receipt(block, 120_000 * len(passings))

    def _passed(self, parting: Parting, passing: Passing, epoch: Epoch) -> list[tuple[str, dict[str, Any]]]:
        order, takeover = passing.held.order, passing.takeover
        slot, taker = passing.held.slots[takeover.slot % GROUP_SLOTS], takeover.farmer
        refusal = self.refused_takers.get(taker)
        if refusal is not None:
            raise TransactionReverted("handOver", refusal, {"farmer": taker})
        if (refusal := self.refused_orders.get(order)) is not None:
            raise TransactionReverted("handOver", refusal, {"order": order})
        held = passing.held
        if self.orders[order].slots_hash != _hash_with(held, takeover.slot):
            raise TransactionReverted("handOver", "WrongSlots", {"order": order})
        [book] = [one for one in books_from(self.entries()) if one.entries[:1] and _is_of(one, parting)]
        entry = book.entries[passing.index]
        assert (entry.order, entry.slot, entry.first) == (order, takeover.slot, passing.first)
        assert verify_path(
            book.mountain.peaks, entry_hash(entry), passing.index, book.mountain.count, passing.path
        )
        assert passing.index not in book.lost_epochs
        bound = 0 if taker == FARMER else slot.rate
        if bound:
            self.bonds[taker, epoch] = self.bonds.get((taker, epoch), 0) + bound
        known = self.orders[order]
        changed = _passed_on(held, takeover.slot, taker, Epoch(epoch + 1))
        self.orders[order] = replace(known, slots_hash=_hash_with(changed, takeover.slot))
        over = {"order": order, "farmer": FARMER, "slot": takeover.slot, "from": slot.start, "epoch": epoch}
        filled = {
            "order": order, "farmer": taker, "slot": takeover.slot, "root": slot.root, "rate": slot.rate,
            "max_egress_price_per_gib": 0, "leaf_count": passing.held.leaf_count, "from": Epoch(epoch + 1),
            "end": known.end, "extension": False,
        }  # fmt: skip
        over |= {"taker": taker, "bound": bound, "refund": 0}
        return [("SlotHandedOver", over), ("SlotFilled", filled)]

    def _check_left(self, parting: Parting) -> None:
        """Whether enough is left of a book, or all that goes stands at its front and stays with the farm."""
        [book] = [one for one in books_from(self.entries()) if one.entries[:1] and _is_of(one, parting)]
        going, cut = {one.index for one in parting.passings}, len(book.cut_epochs)
        while cut in going:
            cut += 1
        stays = parting.passings[0].takeover.farmer == FARMER
        if stays and not parting.extension and set(range(len(book.cut_epochs), cut)) == going:
            return
        every = book.rate_before + book.rate_added
        alive = every - sum(book.entries[index].rate for index in going | book.lost_epochs.keys())
        front = sum(one.rate for one in book.entries[:cut])
        if alive and alive * 32 < every - front:
            raise TransactionReverted("handOver", "BookMostlyLost", {"all": every, "lost": every - alive})

    async def bound(self, farmer: FarmerId, taker: FarmerId, epoch: Epoch) -> int:
        self.ask()
        assert farmer == FARMER
        return self.bonds.get((taker, epoch), 0)

    async def release(self, taker: FarmerId, epoch: Epoch) -> Receipt:
        self.ask()
        known = self.others[taker]
        if not known.lapsed and (known.settled_epoch <= epoch or taker in self.missing):
            raise TransactionReverted("release", "TakerNotProven", {"taker": taker, "settled_epoch": epoch})
        bound = self.bonds.pop((taker, epoch))
        burnt = bound // 2 if known.lapsed else 0
        args = {"farmer": FARMER, "taker": taker, "epoch": epoch, "returned": bound - burnt, "burnt": burnt}
        return self.receipt(self.mine(events=[("Released", args)]), 60_000)

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        self.ask()
        return [self.others[farmer] for farmer in farmers]

    async def recover(self, held: Held, slot: int) -> Receipt:
        self.ask()
        entry = next(one for one in reversed(self.entries()) if (one.order, one.slot) == (held.order, slot))
        assert entry.lost
        assert held.slots[slot].farmer == FARMER
        if self.recoveries_refused:
            raise TransactionReverted("recover", self.recoveries_refused, {})
        filled = {
            "order": entry.order,
            "farmer": FARMER,
            "slot": slot,
            "root": entry.root,
            "rate": entry.rate,
            "leaf_count": entry.leaf_count,
            "from": Epoch(self.epoch_of(self.height + 1) + 1),
            "end": entry.end,
            "extension": False,
        }
        recovered = {"order": entry.order, "farmer": FARMER, "slot": slot, "forfeit": 0, "refund": 0}
        block = self.mine(events=[("SlotRecovered", recovered), ("SlotFilled", filled)])
        return self.receipt(block, 150_000)

    async def cut_front(self, end: Epoch, tenures: Sequence[bytes], *, extension: bool) -> Receipt:
        self.ask()
        book = next(one for one in books_from(self.entries()) if (one.end, one.extension) == (end, extension))
        cut = book.cut_front(self.epoch_of(self.height + 1))
        assert cut[: len(tenures)] == list(tenures)
        front = sum(one.rate for one in book.entries[: len(book.cut_epochs) - len(cut) + len(tenures)])
        args = {
            "farmer": FARMER,
            "end": end,
            "extension": extension,
            "front": front,
            "epoch": book.cut_epochs[-1],
        }
        return self.receipt(self.mine(events=[("FrontCut", args)]), 50_000)

    async def update(self, endpoint: str) -> Receipt:
        self.ask()
        self.endpoint = endpoint
        return self.receipt(self.mine(), 50_000)


def _hash_with(held: HeldGroup, slot: int) -> bytes:
    """What the market keeps of the order's slots, if the group with this slot is one of its own."""
    own, words = slot // GROUP_SLOTS, [held.leaf_count, held.piece_leaves, len(held.farmers) // 4]
    values = [
        value
        for one in held.slots
        for value in (one.farmer, int.from_bytes(one.root), one.rate, one.max_egress_price_per_gib, one.start)
    ]
    group = keccak256(b"".join(value.to_bytes(32) for value in values))
    groups = (*held.groups[:own], group, *held.groups[own:])
    return keccak256(b"".join([*(word.to_bytes(32) for word in words), *groups, held.farmers]))


def _passed_on(held: HeldGroup, slot: int, farmer: FarmerId, start: Epoch) -> HeldGroup:
    slots, farmers = list(held.slots), bytearray(held.farmers)
    slots[slot % GROUP_SLOTS] = replace(slots[slot % GROUP_SLOTS], farmer=farmer, start=start)
    farmers[4 * slot : 4 * slot + 4] = farmer.to_bytes(4)
    return replace(held, slots=tuple(slots), farmers=bytes(farmers))


def _is_of(book: BookState, parting: Parting) -> bool:
    return (book.end, book.extension) == (parting.end, parting.extension)


def _book(book: BookState) -> Book:
    return Book(
        count=book.mountain.count,
        rate_before=book.rate_before,
        rate_added=book.rate_added,
        added_epoch=book.added_epoch,
        lost_before=0,
        lost_added=0,
        lost_epoch=Epoch(0),
        front_before=book.front_at_start(book.end),
        front_added=0,
        front_epoch=Epoch(0),
        peaks=tuple(book.mountain.peaks),
    )


@dataclass(frozen=True, kw_only=True)
class PlacedSlot:
    """A slot as the contract is told of it."""

    order: OrderId
    slot: int
    root: bytes
    rate: int
    leaf_count: int
    end: int
    max_egress_price_per_gib: int = 0

    def args(self, start: int, *, extension: bool = False) -> dict[str, Any]:
        return {
            "order": self.order,
            "farmer": FARMER,
            "slot": self.slot,
            "root": self.root,
            "rate": self.rate,
            "max_egress_price_per_gib": self.max_egress_price_per_gib,
            "leaf_count": self.leaf_count,
            "from": Epoch(start),
            "end": Epoch(self.end),
            "extension": extension,
        }


@dataclass(kw_only=True)
class Parcel:
    """A renter's slot: its pieces and the terms it proposes."""

    renter: Wallet
    pieces: list[bytes]
    end: int = 16
    slot: int = 3
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    rate: int = 0

    def __post_init__(self) -> None:
        if not self.rate:
            self.rate = rate_rounded_up(OFFER.price_per_gib_epoch, len(self.data))

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def roots(self) -> list[bytes]:
        return [merkle_root(piece) for piece in self.pieces]

    @property
    def root(self) -> bytes:
        return root_of_hashes(b"".join(self.roots))

    @property
    def order(self) -> OrderId:
        return order_id(self.renter.address, self.salt)

    @property
    def key(self) -> SlotKey:
        return SlotKey(renter=self.renter.address, order=self.order, slot=self.slot)

    @property
    def path(self) -> str:
        return paths.slot_path(self.order, self.slot)

    def acceptance_request(self, **changes: Any) -> dict[str, Any]:
        return {
            "use": "extend" if "previous" in changes else "place",
            "salt": self.salt.hex(),
            "k": 1,
            "pieces": len(self.pieces),
            "piece_leaves": len(self.pieces[0]) // LEAF_BYTES,
            "root": self.root.hex(),
            "rate": self.rate,
            "end": self.end,
        } | changes

    def placed(self) -> PlacedSlot:
        return PlacedSlot(
            order=self.order,
            slot=self.slot,
            root=self.root,
            rate=self.rate,
            leaf_count=len(self.data) // LEAF_BYTES,
            end=self.end,
        )


def parcel(pieces: int = 3, *, renter: Wallet | None = None, seed: int = 0, **fields: Any) -> Parcel:
    """A slot of small pieces whose bytes depend on `seed` alone."""
    data = [hashlib.shake_256(f"{seed}/{index}".encode()).digest(PIECE_BYTES) for index in range(pieces)]
    salt = hashlib.sha256(f"salt {seed}".encode()).digest()
    return Parcel(renter=renter or Wallet(b"\x02" * 32), pieces=data, **{"salt": salt, **fields})


def config_for(folder: Path, **changes: Any) -> Config:
    """The settings of the farm under test."""
    fields: dict[str, Any] = {
        "rpc_url": "http://127.0.0.1:1",
        "chain_id": CHAIN_ID,
        "market": MARKET,
        "farmer_id": FARMER,
        "owner": OPERATOR.address,
        "start_block": 0,
        "endpoint": "http://127.0.0.1:0",
        "data_folder": folder,
        "reserve_bytes": 0,
        "unplaced_bytes_per_renter": GIB,
        "offer_terms": OfferFile(
            price_per_gib_epoch=OFFER.price_per_gib_epoch,
            egress_price_per_gib=0,
            capacity_bytes=OFFER.capacity_bytes,
            longest_term_epochs=OFFER.longest_term_epochs,
        ),
        "redeem_at": TOKEN,
        "market_parameters": parameters_file(PARAMETERS),
        "token": TokenFile(symbol="", decimals=TOKEN_DECIMALS),
    }
    return Config(**(fields | changes))


@dataclass(kw_only=True)
class Asker:
    """A renter's requests to a farm."""

    clock: Clock
    http: httpx.AsyncClient

    def sign(
        self,
        wallet: Wallet,
        method: str,
        path: str,
        content: bytes = NO_CONTENT,
        *,
        farmer: int = FARMER,
        chain_id: int = CHAIN_ID,
        market: Address = MARKET,
        life_seconds: int = 60,
        nonce: bytes | None = None,
        claimed_renter: Address | None = None,
    ) -> dict[str, str]:
        """The Authorization header of a request."""
        expires = int(self.clock.now) + life_seconds
        nonce = nonce or secrets.token_bytes(16)
        digest = request_digest(
            Domain(chain_id=chain_id, market=market),
            method=method,
            path=path,
            farmer=FarmerId(farmer),
            expires=expires,
            nonce=nonce,
            content=content,
        )
        signature = sign_digest(wallet.private_key, digest)
        authorization = Authorization(
            renter=claimed_renter or wallet.address,
            expires=expires,
            nonce=nonce,
            content=content,
            signature=signature,
        )
        return {"Authorization": str(authorization)}

    async def put(
        self,
        slot: Parcel,
        index: int,
        *,
        body: bytes | None = None,
        announced: bytes | None = None,
        **headers: Any,
    ) -> httpx.Response:
        """Send one piece, as it is or as told."""
        path = f"{slot.path}/pieces/{index}"
        data = slot.pieces[index] if body is None else body
        root = merkle_root(slot.pieces[index]) if announced is None else announced
        return await self.http.put(
            path, content=data, headers=self.sign(slot.renter, "PUT", path, root) | headers
        )

    async def upload(self, slot: Parcel) -> None:
        """Send all pieces."""
        for index in range(len(slot.pieces)):
            response = await self.put(slot, index)
            assert response.status_code in (200, 201), response.text

    async def accept(self, slot: Parcel, **changes: Any) -> httpx.Response:
        """Ask for an acceptance."""
        path = f"{slot.path}/accept"
        body = json.dumps(slot.acceptance_request(**changes)).encode()
        content = hashlib.sha256(body).digest()
        return await self.http.post(path, content=body, headers=self.sign(slot.renter, "POST", path, content))

    async def get(
        self, slot: Parcel, suffix: str = "", *, wanted: str | None = None, by: Wallet | None = None
    ) -> httpx.Response:
        """Read, with a Range if one is given."""
        path = slot.path + suffix
        content = NO_CONTENT if wanted is None else hashlib.sha256(wanted.encode()).digest()
        headers = self.sign(by or slot.renter, "GET", path, content)
        return await self.http.get(path, headers=headers | ({"Range": wanted} if wanted else {}))

    async def delete(self, slot: Parcel, *, by: Wallet | None = None) -> httpx.Response:
        """Ask to drop what is staged."""
        return await self.http.delete(slot.path, headers=self.sign(by or slot.renter, "DELETE", slot.path))


@dataclass(kw_only=True)
class Farm(Asker):
    """A running node, the chain it sees, and a way to ask it."""

    node: Node
    app: FastAPI
    market: FakeMarket

    def seen_from(self, address: str) -> "Farm":
        """The same farm, asked from an IP address."""
        transport = httpx.ASGITransport(app=self.app, client=(address, 1))
        return replace(self, http=httpx.AsyncClient(transport=transport, base_url="http://farm"))

    async def agree(self, slot: Parcel) -> dict[str, Any]:
        """Upload and be accepted."""
        await self.upload(slot)
        response = await self.accept(slot)
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def keep(self, slot: Parcel) -> None:
        """The whole way: accepted, placed, and seen by the node."""
        await self.agree(slot)
        self.market.place(slot.placed())
        await self.node.follower.refresh()


class Killed(BaseException):
    """The process is gone: no handler of ours runs any more."""


class FailingFiles(DiskFiles):
    """Fails at the n-th call, once by `error`, or for good like a killed process; keeps a list of calls."""

    def __init__(self, fail_at: int = -1, error: OSError | None = None) -> None:
        self.fail_at = fail_at
        self.error = error
        self.calls: list[tuple[str, str]] = []
        self.dead = False

    def _step(self, name: str, subject: object) -> None:
        if self.dead:
            raise Killed
        if len(self.calls) == self.fail_at:
            self.calls.append((name, "failed"))
            if self.error is not None:
                raise self.error
            self.dead = True
            raise Killed
        self.calls.append((name, str(subject)))

    def make_folder(self, path: Path) -> None:
        self._step("make_folder", path)
        super().make_folder(path)

    def create(self, path: Path) -> int:
        self._step("create", path)
        return super().create(path)

    def write(self, descriptor: int, data: bytes | memoryview) -> None:
        if len(self.calls) == self.fail_at:
            # As much as half of it got there.
            os.write(descriptor, memoryview(data)[: len(data) // 2])
        self._step("write", descriptor)
        super().write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        self._step("fsync", descriptor)
        super().fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename", target)
        super().rename(source, target)

    def fsync_folder(self, path: Path) -> None:
        self._step("fsync_folder", path)
        super().fsync_folder(path)

    def unlink(self, path: Path) -> None:
        self._step("unlink", path)
        super().unlink(path)

    def remove_tree(self, path: Path) -> None:
        self._step("remove_tree", path)
        super().remove_tree(path)

    def close(self, descriptor: int) -> None:
        # A dead process has its descriptors closed for it.
        super().close(descriptor)


class NoLinks(DiskFiles):
    """A file system on which a file has one name."""

    def link(self, source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@asynccontextmanager
async def open_farm(
    folder: Path,
    *,
    market: FakeMarket | None = None,
    clock: Clock | None = None,
    files: Files | None = None,
    loops: bool = False,
    volume: Volume | None = None,
    executors: Executors | None = None,
    **settings: Any,
) -> AsyncIterator[Farm]:
    """A farm whose lifespan is the body of this context; opened again on the same folder it is a restart."""
    market, clock = market or FakeMarket(), clock or Clock()
    app = create_app(
        config_for(folder, **settings),
        OPERATOR,
        market=market,
        files=files,
        clock=clock,
        steady=clock.steady,
        loops=loops,
        volume=volume,
        executors=executors,
    )
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://farm") as http:
            yield Farm(node=app.state.node, app=app, market=market, clock=clock, http=http)


def pass_blocks(farm: Farm, count: int = 1) -> None:
    """Blocks come, and with them the time that they take."""
    farm.market.mine(count)
    farm.clock.now += count * BLOCK_SECONDS


def error_of(response: httpx.Response) -> str:
    """The code of an error response, which tells strangers neither of our endpoint nor of our files."""
    assert "://" not in response.text
    assert tempfile.gettempdir() not in response.text
    return str(response.json()["error"])


def stray_files(folder: Path) -> list[str]:
    """What lies in the folder for half-written things."""
    return [entry.name for entry in (folder / "tmp").iterdir()]


def market_parameters() -> ParametersFile:
    """The parameters as farm.json holds them."""
    return parameters_file(PARAMETERS)
