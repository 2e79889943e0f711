"""The real market lets a farm leave a book in bounded calls, all but its first slot, as its node plans it.

Of 40 slots the first is in the way at the end; with --long there are 1,000. The plans for 10,000 are held
against the market's rule in `test_node_remainder`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from chain_support import RATE, TestFarmer, funded, store

from grange import messages
from grange.audit import BookState, loss_words
from grange.chain import Sender, calls
from grange.types import Epoch, Held, OrderId, Parting, Passing, Slot
from grange.units import TOKEN
from grange_devnet import DEVNET_PARAMETERS, Devnet
from grange_node.leaving.book_front import MAX_CUT
from grange_node.leaving.passing import passable
from grange_node.leaving.remainder import MAX_HANDED_OVER, in_the_way
from grange_node.self_repair.loss_declaration import declarable

MAX_GAS = 15_000_000
EPOCHS = 12
SPARE_BLOCKS = 100
MANY = pytest.param(1_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])


@dataclass(kw_only=True)
class Leaving:
    """A farmer with a book, the others of its orders, and one that takes what is handed over."""

    devnet: Devnet
    farmer: TestFarmer
    others: list[TestFarmer]
    taker: TestFarmer
    held: dict[OrderId, Held] = field(default_factory=dict)
    """The orders, as the market has them."""
    gas_used: list[int] = field(default_factory=list)

    @property
    def book(self) -> BookState:
        [book] = self.farmer.books.values()
        return book

    def wanted(self) -> list[int]:
        """All but the first slot, wherever it is."""
        first = self.book.entries[0].order
        lost = self.book.lost_epochs
        return [i for i, one in enumerate(self.book.entries) if i not in lost and one.order != first]

    async def send(self, call: calls.Call) -> None:
        receipt = await self.farmer.sender.send(call)
        assert receipt.gas_used <= MAX_GAS
        self.gas_used.append(receipt.gas_used)

    async def place(self, count: int) -> None:
        renter = Sender(self.devnet.chain, await funded(self.devnet, 10**6 * TOKEN))
        farmers = [self.farmer, *self.others]
        for seed in range(count):
            order, receipt = await store(self.devnet, renter, farmers, leaf_count=1, epochs=EPOCHS, seed=seed)
            slots = tuple(
                Slot(
                    farmer=event.args["farmer"],
                    root=event.args["root"],
                    rate=event.args["rate"],
                    max_egress_price_per_gib=event.args["max_egress_price_per_gib"],
                    start=event.args["from"],
                )
                for event in receipt.events
                if event.name == "SlotFilled"
            )
            self.held[order] = Held(order=order, leaf_count=1, piece_leaves=1, slots=slots)

    async def cut(self, epoch: Epoch) -> None:
        tenures = self.book.cut_front(epoch)
        for first in range(0, len(tenures), MAX_CUT):
            some = tenures[first : first + MAX_CUT]
            await self.send(calls.cut_front(self.farmer.id, self.book.end, some, extension=False))

    async def declare(self, indices: list[int], epoch: Epoch) -> None:
        words = [word for index in indices for word in loss_words(self.book, index)]
        await self.send(calls.declare_loss(self.farmer.id, self.book.end, words, extension=False))
        for index in indices:
            self.book.lose(index, epoch)

    async def pass_to(self, taker: TestFarmer, indices: list[int], epoch: Epoch) -> None:
        head = await self.devnet.chain.head()
        passings = tuple(self._passing(taker, index, head.number) for index in indices)
        parting = Parting(end=self.book.end, extension=False, passings=passings)
        await self.send(calls.hand_over(self.farmer.id, [parting]))
        for index in indices:
            self.book.lose(index, epoch)
            if taker is self.farmer:
                one = self.book.entries[index]
                values = {"root": one.root, "leaf_count": one.leaf_count, "rate": one.rate}
                self.book.add(epoch=epoch, order=one.order, slot=one.slot, **values)

    def _passing(self, taker: TestFarmer, index: int, head: int) -> Passing:
        entry = self.book.entries[index]
        message = messages.AcceptanceMessage(
            order=entry.order,
            farmer=taker.id,
            slot=0,
            root=entry.root,
            leaf_count=1,
            rate=RATE,
            end=self.book.end,
            deadline_block=head + 50,
            previous=messages.tenure_word(entry.from_epoch),
            giver=self.farmer.id,
        )
        domain, key = self.devnet.chain.domain, taker.sender.wallet.private_key
        return Passing(
            held=messages.held_group(self.held[entry.order], 0),
            index=index,
            first=entry.first,
            path=tuple(self.book.mountain.path(index)),
            takeover=messages.sign_takeover(domain, key, message),
        )


@asynccontextmanager
async def leaving(count: int, others: int) -> AsyncIterator[Leaving]:
    """A farm with so many equal slots, which has proven the first epoch in which it is asked for them."""
    epoch_blocks = 2 * count + SPARE_BLOCKS
    parameters = replace(DEVNET_PARAMETERS, epoch_blocks=epoch_blocks, grid_epochs=4, max_books=5)
    async with Devnet.start(parameters=parameters) as devnet:
        farmers = [await TestFarmer.register(devnet) for _ in range(2 + others)]
        left = Leaving(devnet=devnet, farmer=farmers[0], others=farmers[2:], taker=farmers[1])
        await left.place(count)
        await next_epoch(left)
        yield left


async def next_epoch(left: Leaving) -> Epoch:
    epoch = Epoch(await left.devnet.chain.current_epoch() + 1)
    await left.devnet.mine_to_epoch(epoch)
    await left.farmer.prove(epoch)
    return epoch


@pytest.mark.parametrize("count", [40, MANY])
async def test_all_but_the_first_are_given_up(count: int) -> None:
    async with leaving(count, others=0) as left:
        epoch = await left.devnet.chain.current_epoch()
        # As much as may go with the first where it is, and then the rest: as a farm that had strikes.
        while chosen := declarable(left.book, left.wanted(), epoch):
            await left.declare(chosen, epoch)
        assert len(left.wanted()) == count // 32 + bool(count % 32) - 1, "a 32nd, without the first"
        while wanted := left.wanted():
            await left.cut(epoch)
            if moved := in_the_way(left.book, wanted, epoch):
                await left.pass_to(left.farmer, moved, epoch)
            else:
                await left.declare(declarable(left.book, wanted, epoch), epoch)
        await check_alone(left)


@pytest.mark.parametrize("count", [40, MANY])
async def test_all_but_the_first_are_handed_over(count: int) -> None:
    async with leaving(count, others=2) as left:
        epoch = await left.devnet.chain.current_epoch()
        while wanted := left.wanted():
            await left.cut(epoch)
            if passing := passable(left.book, wanted[:200], epoch)[:MAX_HANDED_OVER]:
                await left.pass_to(left.taker, passing, epoch)
            else:
                await left.pass_to(left.farmer, in_the_way(left.book, wanted, epoch), epoch)
        await check_alone(left)


async def check_alone(left: Leaving) -> None:
    """The first slot is asked for alone from the next epoch on, and the farm proves it."""
    assert (await left.devnet.chain.farmer(left.farmer.id)).committed_rate == RATE
    epoch = await next_epoch(left)
    [paid] = [
        event.args["amount"]
        for event in await left.devnet.chain.logs(
            epoch * left.devnet.chain.parameters.epoch_blocks,
            (await left.devnet.chain.head()).number,
            ["Proven"],
            {"farmer": left.farmer.id},
        )
    ]
    assert paid == RATE
