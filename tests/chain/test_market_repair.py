"""Repairs and losses on the real contract: what a repairer that cheats is left with."""

from __future__ import annotations

import pytest
from chain_support import RATE, TestFarmer, funded, store

from grange import messages
from grange.chain import Receipt, Sender, calls
from grange.types import Epoch, FarmerId, Held, OrderId, Slot
from grange_devnet import Devnet
from grange_node.chain.order_state import OrderLookup
from grange_node.records import SlotRecord, SlotState
from grange_node.slot_key import SlotKey
from grange_node.uploads.deletion import Word, word_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
LEAVES = 8


async def wealth(devnet: Devnet, *senders: Sender) -> int:
    """All that some accounts have in tokens, wherever it is, but for stakes."""
    chain = devnet.chain
    return sum(
        [
            await chain.token_balance(one.address) + await chain.earnings(one.address)
            + await chain.vault(one.address)
            for one in senders
        ]
    )  # fmt: skip


async def held_of(devnet: Devnet, order: OrderId) -> Held:
    """An order as its events tell it."""
    head = (await devnet.chain.head()).number
    slots: dict[int, Slot] = {}
    for event in await devnet.chain.logs(0, head, ["SlotFilled"], {"order": order}):
        args = event.args
        slots[args["slot"]] = Slot(
            farmer=args["farmer"],
            root=args["root"],
            rate=args["rate"],
            max_egress_price_per_gib=args["max_egress_price_per_gib"],
            start=args["from"],
        )
    ordered = tuple(slots[index] for index in sorted(slots))
    return Held(order=order, leaf_count=LEAVES, piece_leaves=1, slots=ordered)


async def until_lapsed(devnet: Devnet, farmer: FarmerId) -> None:
    for _ in range(20):
        if (await devnet.chain.farmer(farmer)).lapsed:
            return
        await devnet.mine_to_epoch((await devnet.chain.head()).epoch + 1)
    raise AssertionError("not lapsed")


async def refill(devnet: Devnet, order: OrderId, taker: TestFarmer, repairer: Sender) -> Receipt:
    """Give the first slot of an order to another farmer."""
    chain, placed = devnet.chain, await devnet.chain.order(order)
    assert placed is not None
    held = await held_of(devnet, order)
    takeover = messages.sign_takeover(
        chain.domain,
        taker.sender.wallet.private_key,
        messages.AcceptanceMessage(
            order=order,
            farmer=taker.id,
            slot=0,
            root=held.slots[0].root,
            leaf_count=LEAVES,
            rate=RATE,
            end=Epoch(placed.end),
            deadline_block=(await chain.head()).number + 50,
            previous=messages.tenure_word(held.slots[0].start),
            repairer=repairer.address,
        ),
    )
    return await repairer.send(calls.refill(held, repairer.address, [takeover]))


async def test_a_farm_takes_its_slot_for_anothers_only_when_the_contract_gave_it_away(devnet: Devnet) -> None:
    """By the order's events and the hash that the contract keeps: not when it lapsed, nor when it was
    evicted."""
    chain = devnet.chain
    gone, taker = await TestFarmer.register(devnet), await TestFarmer.register(devnet, stake=16 * RATE)
    repairer, other = Sender(chain, await funded(devnet)), Sender(chain, await funded(devnet))
    order, _ = await store(devnet, other, [gone], leaf_count=LEAVES, epochs=80)
    record = SlotRecord(
        key=SlotKey(renter=other.address, order=order, slot=0),
        state=SlotState.PLACED,
        staged_at=0,
        terms=None,
        deadline_block=0,
    )
    orders = OrderLookup(chain)

    async def word() -> Word:
        epoch = (await chain.head()).epoch
        return word_of(await chain.order(order), await orders.order(order), record, gone.id, epoch)

    assert await word() is Word.UNCLEAR
    await until_lapsed(devnet, gone.id)
    await other.send(calls.evict(gone.id))
    await devnet.mine(2 * chain.parameters.epoch_blocks)
    assert await word() is Word.UNCLEAR
    await refill(devnet, order, taker, repairer)
    assert await word() is Word.UNCLEAR, "a reorg could still take it back"
    await devnet.mine(2 * chain.parameters.epoch_blocks)
    assert await word() is Word.ANOTHERS


async def test_a_repairer_that_refills_with_nothing_ends_with_less_than_it_began_with(
    devnet: Devnet,
) -> None:
    """It takes the slot over with a farmer of its own that has no byte of it, at the full bounty, and even
    collects the reward for evicting that."""
    chain, parameters = devnet.chain, devnet.chain.parameters
    gone, accomplice = await TestFarmer.register(devnet), await TestFarmer.register(devnet, stake=16 * RATE)
    repairer, other = Sender(chain, await funded(devnet)), Sender(chain, await funded(devnet))
    order, _ = await store(devnet, other, [gone], leaf_count=LEAVES, epochs=80)
    await until_lapsed(devnet, gone.id)
    await other.send(calls.evict(gone.id))
    await devnet.mine(parameters.auction_epochs * parameters.epoch_blocks)

    cheats = (repairer, accomplice.sender)
    before = await wealth(devnet, *cheats) + (await chain.farmer(accomplice.id)).stake
    receipt = await refill(devnet, order, accomplice, repairer)
    bounty = receipt.event("SlotVacated").args["bounty"]
    assert bounty > 0
    assert await chain.earnings(repairer.address) == bounty
    await until_lapsed(devnet, accomplice.id)
    await repairer.send(calls.evict(accomplice.id))
    after = await wealth(devnet, *cheats) + (await chain.farmer(accomplice.id)).stake
    assert after < before
    assert before - after >= bounty // 2, "what the bounty brought, and half of it again"
