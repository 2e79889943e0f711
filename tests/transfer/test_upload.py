"""All slots stored and accepted: who is asked, asked again, and replaced until the market takes the order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from transfer_fakes import KEYS, farmer_of

from grange.chain import Farmer, TransactionReverted
from grange.layout import Geometry
from grange.messages import AcceptanceMessage, Domain, sign_acceptance
from grange.peer import FarmerRefused, FarmerUnreachable
from grange.transfer.acceptance import AcceptanceTerms, Keeper
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import ProgressEvent, Step
from grange.transfer.retry import RetryPolicy
from grange.transfer.slot_upload import Piece
from grange.transfer.upload import OrderUpload
from grange.types import Epoch, FarmerId, OrderId, address_from
from grange.wire.bodies import AcceptanceAnswer, AcceptanceRequest, Listing

DOMAIN = Domain(chain_id=1337, market=address_from(b"\x01" * 20))
ORDER = OrderId(b"\x0d" * 32)
GEOMETRY = Geometry(k=1, n=3, piece_bytes=2048, segments=2)
TERMS = AcceptanceTerms(domain=DOMAIN, order=ORDER, geometry=GEOMETRY, end=Epoch(40), salt=b"\x05" * 32)
NO_STAKE = FarmerRefused("no more stake", status=409, code="stake_too_small")


def root_of(slot: int) -> bytes:
    return bytes([slot + 1]) * 32


@dataclass
class FakeFarmer:
    """Takes pieces and signs for them, after so many errors."""

    farmer: Farmer
    errors: list[Exception] = field(default_factory=list)
    deadline_block: int = 100
    puts: list[int] = field(default_factory=list)
    asked: int = 0
    drops: int = 0

    async def put_piece(self, order: OrderId, slot: int, piece: int, data: bytes, root: bytes) -> None:
        self.puts.append(piece)

    async def listing(self, order: OrderId, slot: int, first: int = 0) -> Listing:
        return Listing(roots={}, count=0)

    async def drop(self, order: OrderId, slot: int) -> None:
        self.drops += 1

    async def accept(self, order: OrderId, slot: int, body: AcceptanceRequest) -> AcceptanceAnswer:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        message = AcceptanceMessage(
            order=order,
            farmer=self.farmer.id,
            slot=slot,
            root=body.root,
            leaf_count=GEOMETRY.leaf_count,
            rate=body.rate,
            end=Epoch(body.end),
            deadline_block=self.deadline_block,
        )
        signed = sign_acceptance(DOMAIN, KEYS[self.farmer.id - 1], message)
        fields = {
            name: getattr(message, name)
            for name in ("farmer", "slot", "root", "rate", "max_egress_price_per_gib", "end")
        }
        return AcceptanceAnswer.model_construct(
            **fields,
            leaf_count=message.leaf_count,
            deadline_block=message.deadline_block,
            r=signed.r,
            vs=signed.vs,
        )


@dataclass
class Ground:
    """Farmers 1 to 8, of which the first three are to keep the slots."""

    farmers: dict[int, FakeFarmer] = field(
        default_factory=lambda: {number: FakeFarmer(farmer_of(number)) for number in range(1, 9)}
    )
    events: list[ProgressEvent] = field(default_factory=list)
    now: float = 0.0

    def upload(self, *spares: int, **options: Any) -> OrderUpload:
        async def make_pieces(segment: int, slots: Sequence[int]) -> list[Piece]:
            return [Piece(slot=slot, segment=segment, data=b"", root=bytes(32)) for slot in slots]

        async def sleep(_: float) -> None:
            self.now += 30.0

        return OrderUpload(
            terms=TERMS,
            keepers={slot: keeper(slot + 1) for slot in range(3)},
            candidates=map(keeper, spares),
            make_pieces=make_pieces,
            root_of=root_of,
            name_pass=lambda slots, is_first: f"{slots} slots, {'first' if is_first else 'again'}",
            too_few=too_few,
            open_peer=lambda farmer: self.farmers[farmer.id],  # type: ignore[arg-type, return-value]
            policy=RetryPolicy(clock=lambda: self.now, sleep=sleep),
            listen=self.events.append,
            **options,
        )

    @property
    def steps(self) -> list[str]:
        return [one.what for one in self.events if isinstance(one, Step)]


def keeper(number: int) -> Keeper:
    return Keeper(farmer=farmer_of(number), rate=7)


def too_few(failures: Mapping[FarmerId, str]) -> NotEnoughFarmers:
    return NotEnoughFarmers("nobody", failures={str(one): why for one, why in failures.items()}, missing=1)


async def test_every_slot_is_stored_and_accepted_in_its_place() -> None:
    ground = Ground()
    async with ground.upload(4) as upload:
        accepted = await upload.acceptances(deadline_block=50)
    assert [one.farmer for one in accepted] == [1, 2, 3]
    assert [one.root for one in accepted] == [root_of(slot) for slot in range(3)]
    assert ground.steps == ["3 slots, first", "Asking for acceptances"]
    assert not any(farmer.drops for farmer in ground.farmers.values())


async def test_one_that_does_not_accept_is_replaced_and_only_its_slot_is_sent_again() -> None:
    ground = Ground()
    ground.farmers[2].errors = [NO_STAKE]
    async with ground.upload(4) as upload:
        accepted = await upload.acceptances(deadline_block=50)
    assert [one.farmer for one in accepted] == [1, 4, 3]
    assert [len(ground.farmers[number].puts) for number in (1, 3, 4)] == [2, 2, 2]
    assert [ground.farmers[number].asked for number in (1, 2, 3, 4)] == [1, 1, 1, 1]
    assert ground.farmers[2].drops == 1
    assert ground.steps[2:] == ["1 slots, again", "Asking for acceptances"]


async def test_what_lapses_is_asked_for_again_and_the_rest_is_kept() -> None:
    ground = Ground()
    ground.farmers[1].deadline_block = 60
    async with ground.upload(4) as upload:
        await upload.acceptances(deadline_block=50)
        ground.farmers[1].deadline_block = 160
        accepted = await upload.acceptances(deadline_block=70)
    assert [one.deadline_block for one in accepted] == [160, 100, 100]
    assert [ground.farmers[number].asked for number in (1, 2, 3)] == [2, 1, 1]


async def test_one_that_the_market_does_not_take_is_replaced() -> None:
    ground = Ground()
    async with ground.upload(4) as upload:
        await upload.acceptances(deadline_block=50)
        assert not upload.replace_refused(TransactionReverted("place", "StakeTooSmall", {"farmer": 8}))
        assert upload.replace_refused(TransactionReverted("place", "StakeTooSmall", {"farmer": 3}))
        accepted = await upload.acceptances(deadline_block=50)
        assert [one.farmer for one in accepted] == [1, 2, 4]
        with pytest.raises(NotEnoughFarmers) as raised:
            upload.replace_refused(TransactionReverted("place", "StakeTooSmall", {"farmer": 4}))
    assert set(raised.value.failures) == {"3", "4"}


async def test_one_whose_last_stand_in_goes_to_another_slot_is_asked_once_more_and_waited_for() -> None:
    """Two fail at once and there is one candidate: the second may only be restarting."""
    ground = Ground()
    ground.farmers[1].errors = [NO_STAKE]
    ground.farmers[2].errors = [FarmerUnreachable("restarting")] * 4
    async with ground.upload(4) as upload:
        accepted = await upload.acceptances(deadline_block=50)
    assert [one.farmer for one in accepted] == [4, 2, 3]


async def test_an_upload_that_is_given_up_is_let_go_of() -> None:
    ground = Ground()
    ground.farmers[2].errors = [NO_STAKE]
    with pytest.raises(NotEnoughFarmers) as raised:
        async with ground.upload() as upload:
            await upload.acceptances(deadline_block=50)
    assert raised.value.failures == {"2": "no more stake"}
    assert [ground.farmers[number].drops for number in (1, 2, 3)] == [1, 1, 1]


async def test_a_keeper_of_an_extension_is_sent_nothing_and_replaced_if_it_lost_what_it_kept() -> None:
    ground = Ground()
    ground.farmers[1].errors = [FarmerRefused("nothing of this slot is here", status=404, code="not_found")]
    async with ground.upload(4, is_rebuilt=True, whole={0, 1}) as upload:
        accepted = await upload.acceptances(deadline_block=50)
    assert [one.farmer for one in accepted] == [4, 2, 3]
    assert [len(ground.farmers[number].puts) for number in (1, 2, 3, 4)] == [0, 0, 2, 2]
