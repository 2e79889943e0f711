"""A pack as an order: what farmers get, and going on after any end with nothing sent or paid twice."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client.packs.pack_samples import (
    CODE,
    contents_of,
    counting,
    drafted,
    keys_of,
    killed,
    placed,
    sealed,
    spool_of,
)
from client_fakes import World

from grange.errors import Misuse
from grange.kernel import Codec
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import FarmerReplaced, ProgressEvent
from grange.types import OrderId
from grange_client.drive.pack import PackReader
from grange_client.errors import HomeForgetful, NotEnoughMoney, NothingToStore, NotReadable, PlaceFailed
from grange_client.packs.descriptor import descriptor_of
from grange_client.packs.placing import shape_of_pack
from grange_client.packs.spool import Spool, is_final
from grange_client.packs.spool_file import SpooledPack
from grange_client.renter import Renter

CHUNKS = 12
CHUNK_BYTES = 60_000


@pytest.fixture
def spool(world: World) -> Spool:
    return spool_of(world.home)


async def begun(world: World, renter: Renter, spool: Spool, seed: int = 1) -> SpooledPack:
    keys = keys_of(world)
    return await drafted(renter, spool, keys, sealed(keys, contents_of(CHUNKS, CHUNK_BYTES, seed)))


async def go_on(world: World, spool: Spool) -> list[ProgressEvent]:
    """What the next command does with what lies in the spool."""
    seen: list[ProgressEvent] = []
    async with world.renter() as renter:
        for pack in spool.claim_all():
            with pack:
                await renter.packs.place(spool, pack, drive=0, watch=seen.append)
    return seen


def all_pieces(pack: SpooledPack) -> set[tuple[int, int]]:
    geometry = pack.plan.unfinished.geometry
    return {(slot, piece) for slot in range(geometry.n) for piece in range(geometry.segments)}


def stored_by(world: World, order: str, slot: int, farmer: int) -> bytes:
    return world.farmer(farmer).slot_bytes((world.identity.account.lower(), order, slot))


async def test_farmers_get_the_packs_own_bytes(world: World, spool: Spool) -> None:
    """Data pieces are the pack as it is, the others its parity; nothing is sealed once more."""
    async with world.renter() as renter:
        pack = await begun(world, renter, spool)
        raw = pack.path.read_bytes()
        with pack:
            done = await renter.packs.place(spool, pack, drive=0)
    order, geometry = done.order, done.order.geometry
    slots = [stored_by(world, order.id.hex(), number, slot.farmer) for number, slot in enumerate(order.slots)]
    size = geometry.piece_bytes
    data = b"".join(
        slots[column][segment * size : (segment + 1) * size]
        for segment in range(geometry.segments)
        for column in range(geometry.k)
    )
    assert data == raw
    assert len(raw) == geometry.data_bytes
    codec = Codec(geometry.k, geometry.n)
    for segment in range(geometry.segments):
        pieces = [slot[segment * size : (segment + 1) * size] for slot in slots]
        assert codec.parity(pieces[: geometry.k]) == pieces[geometry.k :]
    found = PackReader(keys_of(world), order.id, len(raw), lambda start, count: raw[start : start + count])
    assert found.end.chunk_count == CHUNKS


async def test_what_is_placed_is_described_as_the_chain_shows_it(world: World, spool: Spool) -> None:
    """The descriptor has the slots of the events, and a block at which they were so."""
    async with world.renter() as renter:
        keys = keys_of(world)
        done = await placed(renter, spool, keys, sealed(keys, contents_of(2, 1000)))
        await renter.sync()
        [known] = renter.catalog.orders()
    assert known.order.slots == done.descriptor.slots
    assert known.drive == 0
    assert done.order.block <= done.descriptor.block <= world.market.block
    assert done.descriptor == descriptor_of(known.order, done.descriptor.block)
    assert len(world.market.placed) == 1


async def test_an_upload_that_was_killed_goes_on(
    world: World, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it ends, each piece is sent once in all, to the same farmers, and the order is paid once."""
    for number, stop in enumerate((1, 5, 8, 11)):
        sendings = counting(monkeypatch, stop_after=stop)
        async with world.renter() as renter:
            pack = await begun(world, renter, spool, seed=number)
            wanted, raw = all_pieces(pack), pack.path.read_bytes()
            assert len(wanted) > stop
            with pack:
                await killed(renter.packs.place(spool, pack, drive=0), sendings)
        assert world.market.placed == world.market.placed[:number]
        rest = counting(monkeypatch)
        await go_on(world, spool)
        assert pack.path.read_bytes() == raw
        sent = [(slot, piece) for _, slot, piece in sendings.arrived + rest.arrived]
        assert len(sent) == len(set(sent))
        assert set(sent) == wanted
        assert len(world.market.placed) == number + 1
        spool.remove(pack.order)


async def test_a_farmer_that_stepped_in_is_remembered(
    world: World, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who took the place of one that failed has what it was sent, and the next attempt goes on with it."""
    async with world.renter() as renter:
        pack = await begun(world, renter, spool)
        assert pack.quote is not None
        bad = pack.quote.chosen[0].farmer.id
        world.farmer(bad).behaviour.fails_from_piece = 1
        segments = pack.plan.unfinished.geometry.segments
        sendings = counting(monkeypatch, stop_after=4 * segments - 1)
        seen: list[ProgressEvent] = []
        with pack:
            await killed(renter.packs.place(spool, pack, drive=0, watch=seen.append), sendings)
    [replaced] = [event for event in seen if isinstance(event, FarmerReplaced)]
    rest = counting(monkeypatch)
    again = await go_on(world, spool)
    assert not [event for event in again if isinstance(event, FarmerReplaced)]
    sent = [one for one in sendings.arrived + rest.arrived if one[0] != bad]
    assert len(sent) == len(set(sent)) == 4 * segments
    assert {farmer for farmer, slot, _ in sent if slot == 0} == {replaced.successor}


def _before(world: World) -> None:
    def die() -> None:
        raise asyncio.CancelledError

    world.market.failures.append(die)


def _unseen(world: World) -> None:
    place = world.market.place

    async def place_and_die(*args: Any, **_: Any) -> None:
        del world.market.place  # type: ignore[method-assign]
        await place(*args)
        raise asyncio.CancelledError

    world.market.place = place_and_die  # type: ignore[assignment, method-assign]


def _after(world: World) -> None:
    async def die() -> None:
        raise asyncio.CancelledError

    world.market.after_mined.append(die)


@pytest.mark.parametrize("end", [_before, _unseen, _after], ids=["before", "unseen", "after"])
async def test_it_is_paid_once_however_the_transaction_ends(
    world: World, spool: Spool, monkeypatch: pytest.MonkeyPatch, end: Callable[[World], None]
) -> None:
    """Whether the transaction was mined or not when the command died, the next one ends with one order, and
    sends no piece again."""
    end(world)
    wallet = world.market.wallets[world.identity.account]
    async with world.renter() as renter:
        pack = await begun(world, renter, spool)
        assert pack.quote is not None
        with pack, pytest.raises(asyncio.CancelledError):
            await renter.packs.place(spool, pack, drive=0)
    rest = counting(monkeypatch)
    await go_on(world, spool)
    assert rest.arrived == []
    assert len(world.market.placed) == 1
    assert wallet - world.market.wallets[world.identity.account] == pack.quote.cost
    [left] = spool.claim_all()
    with left:
        assert left.plan.block is not None
        assert not is_final(left.plan, left.plan.block + 63)
        assert is_final(left.plan, left.plan.block + 64)


async def test_what_speaks_against_it_in_the_last_moment_costs_nothing(world: World, spool: Spool) -> None:
    """A pack that the new commit relies on may be gone: then nothing is placed."""

    async def refuse() -> None:
        raise PlaceFailed("A pack that this commit relies on is gone.")

    async with world.renter() as renter:
        pack = await begun(world, renter, spool)
        with pack, pytest.raises(PlaceFailed):
            await renter.packs.place(spool, pack, drive=0, before_placing=refuse)
    assert world.market.placed == []


async def test_too_few_farmers_leave_what_is_there(
    world: World, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nobody is left to take a slot, the others keep theirs, and later nothing of it is sent again."""
    sendings = counting(monkeypatch)
    async with world.renter() as renter:
        pack = await begun(world, renter, spool)
        for farmer in world.farmers[3:]:
            farmer.behaviour.accept_status = 409
        with pack, pytest.raises(NotEnoughFarmers):
            await renter.packs.place(spool, pack, drive=0)
    for farmer in world.farmers:
        farmer.behaviour.accept_status = 0
    kept = {
        (farmer.id, slot, piece)
        for farmer in world.farmers
        for (_, _, slot), pieces in farmer.pieces.items()
        for piece in pieces
    }
    rest = counting(monkeypatch)
    await go_on(world, spool)
    assert sendings.arrived
    assert not kept & set(rest.arrived)
    assert len(world.market.placed) == 1


async def test_a_damaged_pack_is_not_sent(world: World, spool: Spool) -> None:
    """What the disk has changed meanwhile goes to nobody."""
    async with world.renter() as renter:
        pack = await begun(world, renter, spool)
        pack.held.close()
        raw = bytearray(pack.path.read_bytes())
        raw[1000] ^= 1
        pack.path.write_bytes(raw)
        [again] = spool.claim_all()
        with again, pytest.raises(NotReadable):
            await renter.packs.place(spool, again, drive=0)
    assert not world.staged


async def test_a_term_that_is_over_is_said(world: World, spool: Spool) -> None:
    """A pack that lay in the spool until its order would end is not placed."""
    async with world.renter() as renter:
        pack = await begun(world, renter, spool)
        pack.held.close()
        world.market.block = pack.plan.unfinished.end * 10
        [again] = spool.claim_all()
        with again, pytest.raises(PlaceFailed, match="too late"):
            await renter.packs.place(spool, again, drive=0)


async def test_money_is_asked_for_before_anything_is_sent(world: World, spool: Spool) -> None:
    """A wallet that is too small for a pack is said when it is quoted."""
    world.market.wallets[world.identity.account] = 0
    async with world.renter() as renter:
        with pytest.raises(NotEnoughMoney):
            await begun(world, renter, spool)
    assert not world.staged
    assert not spool.claim_all()
    assert not list((world.home / "drives" / "0" / "spool").iterdir())


def test_a_pack_that_no_order_holds_is_refused() -> None:
    """In words."""
    with pytest.raises(NothingToStore, match="does not fit"):
        shape_of_pack(1 << 60, 2, 4)


async def test_other_commands_leave_a_pack_alone_while_one_is_at_it(world: World, spool: Spool) -> None:
    """What a living command has is not claimed; what it left is, and what was never whole is removed."""
    folder = world.home / "drives" / "0" / "spool"
    async with world.renter() as renter:
        pack = await begun(world, renter, spool)
        assert spool.claim_all() == []
        with spool.begin(keys_of(world), renter.packs.order_of(bytes(32))) as draft:
            draft.add(sealed(keys_of(world), [b"text"])[0])
            assert spool.claim_all() == []
            assert draft.size_bytes
        pack.held.close()
        (folder / f"{bytes(32).hex()}.part").write_bytes(b"cut short")
        (folder / f"{bytes(32).hex()}.pack").write_bytes(b"without a plan")
        (folder / f"{bytes(31).hex()}01.json").write_text("{}")
        [left] = spool.claim_all()
        with left:
            assert left.plan == pack.plan
            assert spool.claim_all() == []
    assert sorted(one.suffix for one in folder.iterdir()) == [".json", ".pack"]


async def test_a_pack_is_sealed_for_its_own_order(world: World, spool: Spool) -> None:
    """A quote of another order does not fit."""
    keys = keys_of(world)
    async with world.renter() as renter:
        other = await renter.packs.quote(1000, CODE)
        with spool.begin(keys, renter.packs.order_of(bytes(32))) as draft, pytest.raises(Misuse):
            draft.finish(other)


def test_a_disk_that_takes_nothing_is_said(world: World, tmp_path: Path) -> None:
    """Where the spool cannot be written, the error says where, and nothing was sent."""
    (tmp_path / "file").write_bytes(b"")
    beginning = Spool(tmp_path / "file" / "spool").begin(keys_of(world), OrderId(bytes(32)))
    with pytest.raises(HomeForgetful, match="cannot be written"), beginning:
        pass


async def test_the_code_and_the_size_show_little(world: World, spool: Spool) -> None:
    """Packs of a few bytes and of some thousand have the same shape."""
    keys = keys_of(world)
    shapes = set()
    async with world.renter() as renter:
        for contents in ([b"one"], contents_of(3, 4000)):
            done = await placed(renter, spool, keys, sealed(keys, contents))
            shapes.add(done.order.geometry)
    assert len(shapes) == 1


async def test_a_disk_that_gives_an_error_leaves_packs_where_they_are(
    world: World, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files is no reason to delete what was to be sent; one that stays damaged has a name."""
    async with world.renter() as renter:
        (await drafted(renter, spool, keys_of(world), sealed(keys_of(world), [b"text"]))).held.close()

    def fail(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", fail)
        assert spool.claim_all() == []
    [pack] = spool.claim_all()
    with pack:
        monkeypatch.setattr("grange_client.packs.spool_file.os.pread", fail)
        with pytest.raises(NotReadable, match="Too many open files"):
            pack.check()
