"""In what order a farm looks at what it keeps."""

from collections.abc import Callable

import pytest
from node_support import Farm, Parcel, parcel

from grange_node.pieces.slot_folder import slot_path
from grange_node.slot_key import SlotKey

Look = tuple[SlotKey, int]


@pytest.fixture
def looked_at(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """Which pieces the scrubber looked at, in order. It takes no time."""
    looks: list[Look] = []
    read = farm.node.store.read_verified

    def read_and_tell(key: SlotKey, piece: int) -> bytes:
        looks.append((key, piece))
        return read(key, piece)

    async def at_once(_: float) -> None:
        pass

    monkeypatch.setattr(farm.node.store, "read_verified", read_and_tell)
    monkeypatch.setattr(farm.node.scrubber, "_sleep", at_once)
    return looks


async def keep_three(farm: Farm) -> list[Parcel]:
    """Three slots, in the order in which a round takes them."""
    slots = [parcel(seed=seed, end=40) for seed in range(3)]
    for slot in slots:
        await farm.keep(slot)
    order = [record.key for record in farm.node.self_repairer.kept()]
    return sorted(slots, key=lambda slot: order.index(slot.key))


def lose_all(farm: Farm, slot: Parcel) -> None:
    folder = farm.node.config.data_folder / "slots" / slot_path(slot.key)
    for path in folder.glob("0*"):
        path.unlink()


def pieces_of(slot: Parcel) -> list[Look]:
    return [(slot.key, piece) for piece in range(len(slot.pieces))]


async def test_the_rest_of_a_slot_in_which_a_read_met_damage_comes_next(
    farm: Farm, looked_at: list[Look]
) -> None:
    """Once: no slot is read twice that was not looked at before."""
    first, second, last = await keep_three(farm)
    lose_all(farm, last)
    assert (await farm.get(last)).status_code == 500
    looked_at.clear()
    assert await farm.node.scrubber.round() == 3
    begun, *rest = pieces_of(first)
    assert looked_at == [begun, *pieces_of(last), *rest, *pieces_of(second)]
    [damage] = farm.node.damaged_pieces.all()
    assert (damage.key, damage.pieces) == (last.key, (0, 1, 2))


async def test_a_slot_that_was_looked_at_already_is_looked_at_again_and_no_more_than_once(
    farm: Farm, looked_at: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage that is met later in the round, again and again."""
    first, second, last = await keep_three(farm)
    found = farm.node.self_repairer.found
    reads: list[Callable[[], None]] = [lambda: lose_all(farm, first), lambda: None]

    async def read_meanwhile(_: float) -> None:
        if looked_at[-1][0] == second.key and reads:
            reads.pop(0)()
            await found(first.key, len(reads))

    monkeypatch.setattr(farm.node.scrubber, "_sleep", read_meanwhile)
    assert await farm.node.scrubber.round() == 3
    begun, *rest = pieces_of(second)
    assert looked_at == [*pieces_of(first), begun, *pieces_of(first), *rest, *pieces_of(last)]


async def test_a_disk_that_dies_all_over_is_read_once(farm: Farm, looked_at: list[Look]) -> None:
    """What the round itself finds is not a reason to begin again."""
    slots = await keep_three(farm)
    for slot in slots:
        lose_all(farm, slot)
    assert await farm.node.scrubber.round() == 9
    assert looked_at == [look for slot in slots for look in pieces_of(slot)]
    looked_at.clear()
    assert await farm.node.scrubber.round() == 9
    assert looked_at == [look for slot in slots for look in pieces_of(slot)]
