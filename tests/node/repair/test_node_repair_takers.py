"""Who is asked to take over a slot, and who is preferred: strangers and borrowed names."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from market_rules import PARAMETERS
from repair_fakes import repairing, until_done
from repair_ground import Ground

from grange.chain import Farmer
from grange.chain.orders import OrderState
from grange.chain.registry import Registered
from grange.layout import Geometry
from grange.transfer.directory import Probed, Reputations
from grange.transfer.retry import RetryPolicy
from grange.transfer.sampling import prospects
from grange.transfer.selection import Candidate, Requirements, choose, unfit_on_chain
from grange.types import NO_LIMIT, Address, Epoch, FarmerId, Offer, OrderId, Slot, address_from
from grange.units import GIB, TOKEN
from grange_node.repair.directory import AS_FOLLOWED, FollowedDirectory
from grange_node.repair.takers import MAX_ASKED, barred, requirements_of

K, N = 4, 8
NOW = Epoch(20)
Proofs = dict[FarmerId, int]
ORDER_STATE = OrderState(
    id=OrderId(bytes(32)),
    renter=address_from(bytes(20)),
    block=1,
    start=Epoch(3),
    end=Epoch(40),
    geometry=Geometry.from_leaves(k=K, n=N, leaf_count=2048, piece_leaves=2048),
    slots=tuple(
        Slot(farmer=FarmerId(number), root=bytes(32), rate=TOKEN, start=Epoch(3))
        for number in range(1, N + 1)
    ),
)


def address(number: int) -> Address:
    return address_from(number.to_bytes(20))


def farmer(number: int, **fields: Any) -> Farmer:
    known: dict[str, Any] = {
        "owner": address(number),
        "operator": address(number),
        "stake": 100 * TOKEN,
        "committed_rate": 0,
        "settled_epoch": Epoch(0),
        "misses": 0,
        "strikes": 0,
        "epochs_proven": 0,
        "registered_block": 0,
        "ceiling": NO_LIMIT,
        "loss_limit": NO_LIMIT,
        "lapsed": False,
        "endpoint": "",
        "offer": Offer(
            price_per_gib_epoch=TOKEN, egress_price_per_gib=0, capacity_bytes=GIB, longest_term_epochs=100
        ),
    }
    return Farmer(id=FarmerId(number), **(known | fields))


def wanted(number: int, **fields: Any) -> Candidate:
    return Candidate(farmer=farmer(number, **fields), free_bytes=GIB)


def needed(own: FarmerId | None = None) -> Requirements:
    return requirements_of(ORDER_STATE, 0, epoch=NOW, parameters=PARAMETERS, own=own, seed=b"t")


def proofs_of(*numbers: int) -> Proofs:
    """These have proven ten epochs."""
    return {FarmerId(number): 10 for number in numbers}


def with_proofs(farmers: Iterable[Farmer], proofs: Proofs) -> list[Farmer]:
    return [
        replace(
            one,
            epochs_proven=proofs.get(one.id, 0),
            committed_rate=one.committed_rate or (TOKEN if one.id in proofs else 0),
        )
        for one in farmers
    ]


def order_of(candidates: list[Candidate], proofs: Proofs, **options: Any) -> list[int]:
    def proven(found: list[Candidate]) -> list[Candidate]:
        farmers = with_proofs((one.farmer for one in found), proofs)
        return [replace(one, farmer=farmer) for one, farmer in zip(found, farmers, strict=True)]

    beside = proven(options.pop("beside", []))
    found = choose(proven(candidates), needed(**options), beside=beside)
    return [one.farmer.id for one in found.ranked]


def test_farmers_that_have_proven_come_before_strangers() -> None:
    strangers = [wanted(number) for number in range(20, 40)]
    tried = [wanted(number) for number in range(40, 45)]
    assert set(order_of(strangers + tried, proofs_of(*range(40, 45)))[:5]) == set(range(40, 45))


def test_the_share_of_strangers_counts_those_that_hold_slots() -> None:
    """Two of 4 of 8 may be strangers: while others fit, no third one takes a slot."""
    holders = [wanted(number) for number in range(2, 9)]
    proofs = proofs_of(4, 5, 6, 7, 8, 50)
    assert order_of([wanted(30), wanted(50)], proofs, beside=holders) == [50]
    assert order_of([wanted(30)], proofs, beside=holders) == [30]


def test_anyone_who_repairs_comes_first_with_its_own_farm() -> None:
    tried = [wanted(number) for number in range(40, 45)]
    assert order_of([*tried, wanted(20)], proofs_of(*range(40, 45)), own=FarmerId(20))[0] == 20


def test_what_strangers_borrow_does_not_keep_a_farm_from_a_slot() -> None:
    """Holders that nobody trusts, with the owner of a farm, do not make it one of theirs."""
    holders = [wanted(number, owner=address(50)) for number in range(2, 5)]
    assert order_of([wanted(50), wanted(20)], proofs_of(50), beside=holders)[0] == 50
    trusted = order_of([wanted(50), wanted(60)], proofs_of(2, 3, 4, 50, 60), beside=holders)
    assert trusted == [60, 50]


class Everybody(FollowedDirectory):
    """All answer, of a market of these farmers with these proofs."""

    def __init__(self, farmers: list[Farmer], proofs: Proofs) -> None:
        nothing: Any = None
        super().__init__(self, nothing, nothing, nothing, policy=RetryPolicy(), freshness=AS_FOLLOWED)
        self.parameters = PARAMETERS
        self.learn({farmer.id: farmer for farmer in with_proofs(farmers, proofs)})

    async def registered(self, known: Collection[FarmerId] = ()) -> Registered:
        return Registered(epoch=NOW, farmers=self.farmers)

    async def by_id(self, farmers: Iterable[FarmerId]) -> dict[FarmerId, Farmer]:
        return {farmer: self.farmers[farmer] for farmer in farmers}

    async def probe(self, farmers: Sequence[Farmer], reputations: Reputations | None = None) -> Probed:
        return Probed(candidates=tuple(Candidate(farmer=farmer, free_bytes=GIB) for farmer in farmers))


async def ask(farmers: list[Farmer], proofs: Proofs) -> list[Farmer]:
    found = await Everybody(farmers, proofs).find_candidates(needed(), at_most=MAX_ASKED)
    return [one.farmer for one in found.candidates]


async def test_farmers_that_ask_a_ransom_for_reads_are_not_asked() -> None:
    """The renter would have to pay it to have its data back."""
    honest = [farmer(number) for number in range(20, 30)]
    offer = replace(honest[0].offer, egress_price_per_gib=1000 * TOKEN)
    assert await ask([*honest, farmer(50, offer=offer)], proofs_of(50)) == await ask(honest, {})


@pytest.mark.parametrize("junk_proves", [False, True])
def test_names_without_stake_are_not_asked_in_place_of_others(junk_proves: bool) -> None:
    """5,000 names that could take the slot leave room for the 20 that have something to lose."""
    names = [farmer(1000 + number, stake=16) for number in range(5000)]
    honest = [farmer(number) for number in range(20, 40)]
    proofs = proofs_of(*range(20, 40), *(range(1000, 6000) if junk_proves else ()))
    known = {FarmerId(1003)}
    asked = prospects(honest + names, known=known, proven=proofs, seed=b"t", at_most=MAX_ASKED)
    assert {one.id for one in asked} >= {*range(20, 40), 1003}
    assert len(asked) == MAX_ASKED


@pytest.mark.parametrize(
    "fields",
    [
        {"lapsed": True},
        {"strikes": 1},
        {"stake": 16 * TOKEN - 1},
        {"stake": 32 * TOKEN - 1, "committed_rate": TOKEN},
    ],
)
def test_who_cannot_take_a_slot_is_not_asked(fields: dict[str, Any]) -> None:
    assert not unfit_on_chain(farmer(20), needed())
    assert not barred(ORDER_STATE, 0, [farmer(20)])
    one = farmer(20, **fields)
    assert unfit_on_chain(one, needed()) or barred(ORDER_STATE, 0, [one]) == {20}


def test_who_has_a_slot_of_the_order_does_not_take_another() -> None:
    assert barred(ORDER_STATE, 0, [farmer(2), farmer(20)]) == {2}


def test_who_asks_more_for_reading_than_the_slot_is_read_for_is_not_asked() -> None:
    """It would refuse, when it had all pieces."""
    dear = farmer(20)
    dear = replace(dear, offer=replace(dear.offer, egress_price_per_gib=5))
    slots = [replace(slot, max_egress_price_per_gib=4) for slot in ORDER_STATE.slots]
    slots[1] = replace(slots[1], max_egress_price_per_gib=5)
    order_state = replace(ORDER_STATE, slots=tuple(slots))
    assert barred(order_state, 0, [dear]) == {20}
    assert barred(order_state, 1, [dear]) == set()


async def test_a_repair_goes_to_those_that_have_proven(tmp_path: Path) -> None:
    """Of four farmers outside the order the two with proofs take the two vacant slots."""
    ground = Ground()
    ground.slots = ground.place()
    ground.mine_to_next_epoch()
    ground.lapse(1, 2)
    ground.evict_now(1, 2)
    for number in (3, 4, 5, 7, 9):
        ground.proven[FarmerId(number)] = 10
    async with repairing(ground, tmp_path) as repairer:
        await until_done(ground, repairer)
        assert set(repairer.jobs.done()[-1].refilled.values()) == {7, 9}
