"""Acceptances: what is signed, what is refused, and that nothing is accepted twice."""

import asyncio
import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from node_support import (
    FARMER,
    MARKET,
    OFFER,
    OPERATOR,
    PARAMETERS,
    PIECE_BYTES,
    PIECE_LEAVES,
    FakeMarket,
    Farm,
    error_of,
    open_farm,
    parcel,
)

from grange.chain import Wallet
from grange.messages import AcceptanceMessage, Domain, acceptance_signer
from grange.types import Address, Epoch
from grange.units import MAX_RATE, TOKEN
from grange_node.acceptance import acceptance_service
from grange_node.acceptance.terms import ACCEPTANCE_LIFE_BLOCKS, MIN_LEFT_BLOCKS, check_pieces
from grange_node.errors import NotFound
from grange_node.limits.fair_shares import Allowance
from grange_node.records import SlotState, SlotTerms


def signer_of(slot: Any, answer: dict[str, Any]) -> str:
    message = AcceptanceMessage(
        order=slot.order,
        farmer=FARMER,
        slot=slot.slot,
        root=bytes.fromhex(answer["root"]),
        leaf_count=answer["leaf_count"],
        rate=answer["rate"],
        max_egress_price_per_gib=answer["max_egress_price_per_gib"],
        end=Epoch(answer["end"]),
        deadline_block=answer["deadline_block"],
    )
    domain = Domain(chain_id=1337, market=MARKET)
    return acceptance_signer(domain, message, r=bytes.fromhex(answer["r"]), vs=bytes.fromhex(answer["vs"]))


async def test_a_whole_slot_on_our_terms_is_accepted_with_our_signature(farm: Farm) -> None:
    slot = parcel()
    answer = await farm.agree(slot)
    assert signer_of(slot, answer) == OPERATOR.address
    assert answer["deadline_block"] == farm.market.height + ACCEPTANCE_LIFE_BLOCKS
    assert (answer["slot"], answer["end"], answer["leaf_count"]) == (slot.slot, slot.end, 3 * PIECE_LEAVES)


async def test_asking_again_gives_the_same_acceptance(farm: Farm) -> None:
    slot = parcel()
    first = await farm.agree(slot)
    farm.market.mine(5)
    await farm.node.follower.refresh()
    farm.market.usual_balance = 0
    assert (await farm.accept(slot)).json() == first


async def test_asking_many_times_at_once_gives_one_acceptance(farm: Farm) -> None:
    slot = parcel()
    await farm.agree(slot)
    answers = await asyncio.gather(*(farm.accept(slot) for _ in range(5)))
    assert len({answer.text for answer in answers}) == 1


async def test_other_terms_for_an_accepted_slot_are_a_conflict(farm: Farm) -> None:
    slot = parcel()
    await farm.agree(slot)
    for change in ({"rate": slot.rate + 1}, {"end": 24}, {"root": "00" * 32}, {"pieces": 2}):
        response = await farm.accept(slot, **change)
        assert (response.status_code, error_of(response)) == (409, "conflict")


async def test_a_deadline_is_renewed_while_the_term_allows(tmp_path: Path) -> None:
    market = FakeMarket()
    async with open_farm(tmp_path, market=market) as farm:
        slot = parcel(end=64)
        market.mine_to_epoch(25)
        first = await farm.agree(slot)
        market.mine(ACCEPTANCE_LIFE_BLOCKS + 1)
        await farm.node.follower.refresh()
        second = (await farm.accept(slot)).json()
        assert second["deadline_block"] == first["deadline_block"] + ACCEPTANCE_LIFE_BLOCKS + 1
        assert signer_of(slot, second) == OPERATOR.address


async def test_an_acceptance_that_is_about_to_lapse_is_renewed(farm: Farm) -> None:
    """Anyone who asks in the last blocks of an acceptance gets one that an order can still be placed with."""
    slot = parcel(end=40)
    first = await farm.agree(slot)
    farm.market.mine(ACCEPTANCE_LIFE_BLOCKS - MIN_LEFT_BLOCKS - 1)
    await farm.node.follower.refresh()
    assert (await farm.accept(slot)).json() == first
    farm.market.mine()
    await farm.node.follower.refresh()
    second = (await farm.accept(slot)).json()
    assert second["deadline_block"] == farm.market.height + ACCEPTANCE_LIFE_BLOCKS
    assert signer_of(slot, second) == OPERATOR.address


async def test_an_acceptance_is_on_disk_before_it_is_given_out(tmp_path: Path) -> None:
    """Whatever happens after the answer, a restart knows the acceptance and repeats it word for word."""
    market, slot = FakeMarket(), parcel()
    async with open_farm(tmp_path, market=market) as farm:
        first = await farm.agree(slot)
    async with open_farm(tmp_path, market=market) as farm:
        record = farm.node.ledger.slot(slot.key)
        assert record is not None
        assert record.state is SlotState.ACCEPTED
        assert (await farm.accept(slot)).json() == first
        assert (await farm.get(slot)).content == slot.data


async def test_nothing_is_signed_when_the_ledger_cannot_be_written(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = parcel()
    await farm.upload(slot)
    signed = []
    monkeypatch.setattr(
        "grange_node.acceptance.acceptance_service.sign_acceptance", lambda *args: signed.append(args)
    )

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk gone")

    monkeypatch.setattr(farm.node.ledger, "accept", fail)
    with pytest.raises(OSError, match="disk gone"):
        await farm.accept(slot)
    assert signed == []


async def test_missing_pieces_are_named(farm: Farm) -> None:
    slot = parcel(4)
    await farm.put(slot, 0)
    await farm.put(slot, 2)
    response = await farm.accept(slot)
    assert response.status_code == 404
    assert response.json()["detail"]["missing"] == [1, 3]


async def test_to_claim_millions_of_pieces_costs_no_more_than_those_that_are_here(farm: Farm) -> None:
    slot = parcel(4)
    await farm.put(slot, 1)
    claimed = SlotTerms(pieces=1 << 22, piece_leaves=4, root=slot.root, rate=1, end=Epoch(8))
    tracemalloc.start()
    with pytest.raises(NotFound, match=f"{(1 << 22) - 1:,} of {1 << 22:,} pieces") as refused:
        check_pieces(farm.node.store.pieces(slot.key), claimed)
    used_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.value.values["missing"] == [0, *range(2, 101)]
    assert used_bytes < 1 << 20


async def test_a_slot_that_was_never_begun_is_not_found(farm: Farm) -> None:
    assert (await farm.accept(parcel())).status_code == 404


async def test_a_root_that_the_pieces_do_not_lead_to_is_refused(farm: Farm) -> None:
    slot = parcel()
    await farm.upload(slot)
    response = await farm.accept(slot, root="ab" * 32)
    assert (response.status_code, error_of(response)) == (422, "root_mismatch")
    assert response.json()["detail"]["computed"] == slot.root.hex()


async def test_fewer_or_other_pieces_than_are_here_are_refused(farm: Farm) -> None:
    slot = parcel()
    await farm.upload(slot)
    assert (await farm.accept(slot, pieces=2)).status_code == 409
    response = await farm.accept(slot, piece_leaves=2 * PIECE_LEAVES, rate=TOKEN)
    assert (response.status_code, response.json()["detail"]["piece_bytes"]) == (400, 2 * PIECE_BYTES)


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"rate": 1}, "asked_rate"),
        ({"rate": 2 * parcel().rate + 1}, "highest_rate"),
        ({"end": 17}, "end"),
        ({"end": 0 + 8 * 100}, "latest_end"),
        ({"end": 8 * 8}, "longest_term_epochs"),
    ],
    ids=["too cheap", "far too dear", "off the calendar", "beyond the calendar", "too long"],
)
async def test_terms_that_are_not_ours_are_refused(farm: Farm, change: dict[str, int], asked: str) -> None:
    slot = parcel()
    await farm.upload(slot)
    response = await farm.accept(slot, **change)
    assert (response.status_code, error_of(response)) == (409, "terms_refused")
    assert asked in response.json()["detail"]


async def test_an_end_that_is_over_before_it_began_is_refused(farm: Farm) -> None:
    slot = parcel(end=16)
    await farm.upload(slot)
    farm.market.mine_to_epoch(15)
    response = await farm.accept(slot)
    assert (response.status_code, error_of(response)) == (409, "terms_refused")


async def test_a_vault_that_is_too_small_is_refused(farm: Farm) -> None:
    slot = parcel()
    await farm.upload(slot)
    cost = slot.rate * (slot.end - (farm.market.epoch + 1))
    farm.market.balances[slot.renter.address] = cost - 1
    response = await farm.accept(slot)
    assert (response.status_code, error_of(response)) == (402, "vault_too_small")
    assert response.json()["detail"] == {"funds": cost - 1, "needed": cost, "accepted": 0}
    farm.market.balances[slot.renter.address] = cost
    assert (await farm.accept(slot)).status_code == 200


async def test_twice_the_price_is_the_most_that_may_be_offered(farm: Farm) -> None:
    """An acceptance binds stake at its rate for as long as it stands, and costs nothing until it is
    placed."""
    slot = parcel()
    await farm.upload(slot)
    response = await farm.accept(slot, rate=farm.market.stake // PARAMETERS.collateral_epochs)
    assert (response.status_code, error_of(response)) == (409, "terms_refused")
    assert response.json()["detail"]["highest_rate"] == 2 * slot.rate
    assert (await farm.accept(slot, rate=2 * slot.rate)).status_code == 200


async def test_money_is_counted_once(tmp_path: Path) -> None:
    """Slots that are accepted and not placed count against the vault until their deadline has passed."""
    market = FakeMarket()
    async with open_farm(tmp_path, market=market) as farm:
        first, second = parcel(end=24), parcel(seed=1, end=56)
        market.mine_to_epoch(22, offset=9)
        costs = [slot.rate * (slot.end - 23) for slot in (first, second)]
        market.balances[first.renter.address] = sum(costs) - 1
        await farm.agree(first)
        await farm.upload(second)
        response = await farm.accept(second)
        assert (response.status_code, error_of(response)) == (402, "vault_too_small")
        assert response.json()["detail"] == {
            "funds": sum(costs) - 1,
            "needed": sum(costs),
            "accepted": costs[0],
        }
        assert (await farm.accept(first)).status_code == 200
        market.mine(ACCEPTANCE_LIFE_BLOCKS)
        await farm.node.follower.refresh()
        assert (await farm.accept(second)).status_code == 200


async def test_another_renters_acceptances_do_not_count(farm: Farm) -> None:
    await farm.agree(parcel())
    other = parcel(renter=Wallet(b"\x03" * 32), seed=1)
    farm.market.balances[other.renter.address] = other.rate * (other.end - (farm.market.epoch + 1))
    await farm.agree(other)


async def test_a_slot_that_was_placed_since_we_looked_is_not_paid_twice(farm: Farm) -> None:
    first, second = parcel(), parcel(seed=1)
    await farm.agree(first)
    await farm.upload(second)
    farm.market.place(first.placed())
    farm.market.balances[second.renter.address] = second.rate * (second.end - (farm.market.epoch + 1))
    assert (await farm.accept(second)).status_code == 200


async def test_a_farmer_that_lapsed_accepts_nothing(tmp_path: Path) -> None:
    market = FakeMarket()
    market.lapsed = True
    async with open_farm(tmp_path, market=market) as farm:
        slot = parcel()
        await farm.upload(slot)
        response = await farm.accept(slot)
    assert (response.status_code, error_of(response)) == (409, "terms_refused")


async def test_no_more_is_accepted_than_the_stake_allows(tmp_path: Path) -> None:
    """What is accepted counts before it is placed, and what is placed counts once."""
    rate = parcel(1).rate
    market = FakeMarket(stake=2 * rate * PARAMETERS.collateral_epochs)
    async with open_farm(tmp_path, market=market) as farm:
        first, second, third = (parcel(1, seed=seed) for seed in range(3))
        await farm.agree(first)
        await farm.agree(second)
        await farm.upload(third)
        response = await farm.accept(third)
        assert (response.status_code, error_of(response)) == (409, "stake_too_small")
        market.place(first.placed(), second.placed())
        await farm.node.follower.refresh()
        assert (await farm.accept(third)).status_code == 409
        market.stake += rate * PARAMETERS.collateral_epochs
        market.mine()
        await farm.node.follower.refresh()
        assert (await farm.accept(third)).status_code == 200


async def test_acceptances_made_at_once_do_not_share_the_same_stake(tmp_path: Path) -> None:
    rate = parcel(1).rate
    market = FakeMarket(stake=2 * rate * PARAMETERS.collateral_epochs)
    async with open_farm(tmp_path, market=market) as farm:
        slots = [parcel(1, seed=seed) for seed in range(6)]
        for slot in slots:
            await farm.upload(slot)
        answers = await asyncio.gather(*(farm.accept(slot) for slot in slots))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409, 409, 409]


class SlowMarket(FakeMarket):
    """Says what accounts have only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def funds(self, account: Address) -> int:
        self.asked.set()
        await self.may_answer.wait()
        return await super().funds(account)


async def test_one_that_asks_for_acceptances_without_end_keeps_no_other_from_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made one at a time, and each asks the chain before it is refused."""
    monkeypatch.setattr(acceptance_service, "MAX_WAITING_PER_RENTER", 3)
    market, eager = SlowMarket(), parcel(1)
    other = parcel(1, renter=Wallet(b"\x09" * 32))
    async with open_farm(tmp_path, market=market) as farm:
        for slot in (eager, other):
            await farm.upload(slot)
        market.balances[eager.renter.address] = 0
        market.asked.clear()
        market.may_answer.clear()
        flood = [asyncio.create_task(farm.accept(eager)) for _ in range(6)]
        await market.asked.wait()
        honest = asyncio.create_task(farm.accept(other))
        market.may_answer.set()
        answers = [answer.status_code for answer in await asyncio.gather(*flood)]
        assert (answers.count(402), answers.count(429)) == (3, 3)
        assert (await honest).status_code == 200
        assert (await farm.accept(eager)).status_code == 402


async def test_who_brought_nothing_is_refused_before_the_line_and_the_chain(tmp_path: Path) -> None:
    """However full the line is: strangers with nothing here take nobody's turn."""
    market, slot = SlowMarket(), parcel(1)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.upload(slot)
        market.asked.clear()
        market.may_answer.clear()
        honest = asyncio.create_task(farm.accept(slot))
        await market.asked.wait()
        for seed in range(20, 40):
            response = await farm.accept(parcel(1, renter=Wallet(bytes([seed]) * 32)))
            assert (response.status_code, error_of(response)) == (404, "not_found")
        assert farm.node.acceptance_service._line.total == 1
        market.may_answer.set()
        assert (await honest).status_code == 200


async def test_the_owner_of_one_leaf_cannot_make_the_farm_ask_the_chain_without_end(tmp_path: Path) -> None:
    """It has a slot here, and no money for it: each request for an acceptance would ask the chain again."""
    market, slot = SlowMarket(), parcel(1)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.upload(slot)
        farm.node.acceptance_service._requests = Allowance(6, 1.0, farm.clock)
        market.balances[slot.renter.address] = 0
        answers = [(await farm.accept(slot)).status_code for _ in range(5)]
        assert answers == [402, 402, 402, 429, 429]
        farm.clock.now += 6
        assert (await farm.accept(slot)).status_code == 402


async def test_an_acceptance_that_ran_out_frees_its_stake(tmp_path: Path) -> None:
    rate = parcel(1).rate
    market = FakeMarket(stake=rate * PARAMETERS.collateral_epochs)
    async with open_farm(tmp_path, market=market) as farm:
        first, second = parcel(1), parcel(1, seed=1, end=64)
        await farm.agree(first)
        await farm.upload(second)
        market.mine_to_epoch(25)
        await farm.node.follower.refresh()
        assert (await farm.accept(second)).status_code == 409
        market.mine(ACCEPTANCE_LIFE_BLOCKS)
        await farm.node.follower.refresh()
        assert (await farm.accept(second)).status_code == 200


async def test_no_chain_no_acceptance_but_reads_go_on(farm: Farm) -> None:
    kept, slot = parcel(), parcel(seed=1)
    await farm.keep(kept)
    await farm.upload(slot)
    farm.market.down = True
    response = await farm.accept(slot)
    assert (response.status_code, error_of(response)) == (503, "chain_unavailable")
    assert (await farm.get(kept)).content == kept.data
    farm.market.down = False
    assert (await farm.accept(slot)).status_code == 200


async def test_nothing_is_signed_with_a_key_that_is_no_longer_the_operators(farm: Farm) -> None:
    slot = parcel()
    await farm.upload(slot)
    farm.market.operator = Wallet(b"\x08" * 32).address
    response = await farm.accept(slot)
    assert (response.status_code, error_of(response)) == (409, "terms_refused")


@pytest.mark.parametrize(
    "change",
    [
        {"k": 0},
        {"k": "1"},
        {"pieces": 0},
        {"pieces": 1 << 40},
        {"piece_leaves": 3},
        {"piece_leaves": 4096},
        {"root": "12"},
        {"root": "zz" * 32},
        {"salt": ""},
        {"rate": 0},
        {"rate": MAX_RATE + 1},
        {"rate": 1.5},
        {"end": -8},
        {"end": 1 << 32},
        {"surprise": 1},
    ],
)
async def test_a_request_that_makes_no_sense_is_malformed(farm: Farm, change: dict[str, Any]) -> None:
    slot = parcel()
    await farm.upload(slot)
    response = await farm.accept(slot, **change)
    assert (response.status_code, error_of(response)) == (400, "malformed")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"salt": 1}'])
async def test_a_body_that_is_no_request_is_malformed(farm: Farm, body: bytes) -> None:
    slot = parcel()
    path = slot.path + "/accept"
    headers = farm.sign(slot.renter, "POST", path, hashlib.sha256(body).digest())
    response = await farm.http.post(path, content=body, headers=headers)
    assert (response.status_code, error_of(response)) == (400, "malformed")


@pytest.mark.parametrize(
    ("body", "status"), [(b"[" * 16_000, 400), (b'{"salt":' * 2_000, 400), (b"[" * 100_000, 413)]
)
async def test_a_body_that_nests_deeply_is_an_ordinary_refusal(farm: Farm, body: bytes, status: int) -> None:
    slot = parcel()
    path = slot.path + "/accept"
    headers = farm.sign(slot.renter, "POST", path, hashlib.sha256(body).digest())
    response = await farm.http.post(path, content=body, headers=headers)
    assert response.status_code == status, response.text


async def test_a_huge_body_is_not_read(farm: Farm) -> None:
    slot = parcel()
    path = slot.path + "/accept"
    body = json.dumps({"salt": "x" * 100_000}).encode()
    response = await farm.http.post(
        path, content=body, headers=farm.sign(slot.renter, "POST", path, bytes(32))
    )
    assert response.status_code == 413


async def test_the_offer_is_the_price(farm: Farm) -> None:
    """The asked rate is the price times the size, rounded up."""
    slot = parcel()
    assert slot.rate == -(-OFFER.price_per_gib_epoch * 3 * PIECE_BYTES // (1 << 30))
    await farm.upload(slot)
    assert (await farm.accept(slot, rate=slot.rate - 1)).status_code == 409
    assert (await farm.accept(slot, rate=slot.rate)).status_code == 200
