"""Farmers and repairers that the owner of a farm did not choose read and extend nothing that it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from node_support import FARMER, PIECE_BYTES, Farm, Parcel, config_for, error_of, open_farm, parcel
from typer.testing import CliRunner

from grange.allow_lists import FARMERS, ListFiles
from grange.chain import ChainUnavailable, Farmer, TransactionReverted, Wallet
from grange.executors import Executors
from grange.tasks import together
from grange.types import FarmerId
from grange_node.cli.farm import app
from grange_node.config import REPAIRS_NAME, save_config
from grange_node.errors import ChainDown
from grange_node.limits.turns import PAUSE_SECONDS
from grange_node.lists.farmer_lists import OPERATOR_SECONDS, FarmerLists
from grange_node.lists.followed_lists import LOOK_SECONDS, FollowedLists
from grange_node.pieces.volume import begin_volume

FRIEND, STRANGER, REPAIRER = Wallet(b"\x0a" * 32), Wallet(b"\x0b" * 32), Wallet(b"\x0c" * 32)
FRIENDS_ID = FarmerId(FARMER + 1)
PIECES = 3


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[Farm]:
    """It keeps a slot of an order in which FRIEND and STRANGER keep others, and one is vacant and urgent."""
    async with open_farm(tmp_path / "data") as opened:
        await opened.keep(slot())
        operators = frozenset({FRIEND.address, STRANGER.address})
        opened.market.stand(slot(), operators=operators, is_vacant=True, is_eager=True)
        own = await opened.market.own_farmer()
        opened.market.others[FRIENDS_ID] = replace(own, id=FRIENDS_ID, operator=FRIEND.address)
        look_again(opened)
        yield opened


def slot() -> Parcel:
    return parcel(PIECES)


def lists_of(farm: Farm) -> ListFiles:
    (farm.node.config.data_folder / REPAIRS_NAME).mkdir(exist_ok=True)
    return ListFiles(folder=farm.node.config.data_folder / REPAIRS_NAME, of=FARMERS)


def look_again(farm: Farm) -> None:
    farm.market.mine()
    farm.clock.now += LOOK_SECONDS + OPERATOR_SECONDS


async def reads(farm: Farm, by: Wallet) -> str:
    """What it gets in each of the ways to ask: "" for the bytes, or the one code of all refusals."""
    ranged = await farm.get(slot(), wanted=f"bytes=0-{PIECE_BYTES - 1}", by=by)
    answers = [
        ranged,
        await farm.get(slot(), "/pieces", by=by),
        await farm.get(slot(), "/pieces/0/path", by=by),
    ]
    [code] = {error_of(one) if one.is_error else "" for one in answers}
    return code


async def test_without_a_list_all_read_that_may_by_the_protocol(farm: Farm) -> None:
    assert [await reads(farm, by) for by in (FRIEND, STRANGER, REPAIRER)] == ["", "", ""]


async def test_with_an_allow_list_others_read_nothing_even_with_a_slot_of_the_order(farm: Farm) -> None:
    """Anyone may have taken a vacant slot on chain, without the bytes. The renter reads in any case."""
    lists_of(farm).allow(FRIENDS_ID, "Bob")
    look_again(farm)
    assert [await reads(farm, by) for by in (FRIEND, STRANGER, REPAIRER)] == ["", *["not_a_reader"] * 2]
    refused = await farm.get(slot(), "/pieces", by=STRANGER)
    assert "only by farmers and repairers that its owner chose" in refused.json()["message"]
    assert await reads(farm, slot().renter) == ""


async def test_a_repairer_is_allowed_and_a_farmer_denied_by_address_or_id(farm: Farm) -> None:
    lists_of(farm).allow(REPAIRER.address)
    look_again(farm)
    assert [await reads(farm, by) for by in (FRIEND, REPAIRER)] == ["not_a_reader", ""]
    lists_of(farm).forget(REPAIRER.address)
    lists_of(farm).deny(FRIENDS_ID)
    lists_of(farm).deny(REPAIRER.address)
    look_again(farm)
    assert [await reads(farm, by) for by in (FRIEND, STRANGER, REPAIRER)] == [
        "not_a_reader",
        "",
        "not_a_reader",
    ]


async def test_who_is_allowed_reads_no_more_than_without_lists(farm: Farm) -> None:
    lists_of(farm).allow(REPAIRER.address)
    farm.market.stand(slot(), operators=frozenset({FRIEND.address}), is_vacant=False)
    look_again(farm)
    assert await reads(farm, REPAIRER) == "not_a_reader"


class Registry:
    """Farmers by id, and how often they were asked for."""

    def __init__(self, farmer: Farmer) -> None:
        self.farmers = {farmer.id: farmer}
        self.asked, self.is_away = 0, False

    async def __call__(self, farmer: FarmerId) -> Farmer:
        self.asked += 1
        await asyncio.sleep(0)  # As a question does, so that others come meanwhile.
        if self.is_away:
            raise ChainUnavailable("an endpoint", "nobody answers")
        if farmer not in self.farmers:
            raise TransactionReverted("farmer", "UnknownFarmer", {})
        return self.farmers[farmer]


class Lists:
    """The lists of a farm that follows them by a clock of ours."""

    def __init__(self, folder: Path, executors: Executors, farmer: Farmer) -> None:
        self.files = ListFiles(folder=folder, of=FARMERS)
        self.registry, self.seconds = Registry(farmer), 1_000.0
        followed = FollowedLists(self.files, executors=executors, steady=self._steady)
        self.lists = FarmerLists(followed, self.registry, steady=self._steady)

    def _steady(self) -> float:
        return self.seconds

    async def refusal(self, who: Wallet) -> str:
        self.seconds += LOOK_SECONDS
        return await self.lists.refusal(who.address)


@pytest.fixture
async def lists(farm: Farm, tmp_path: Path) -> Lists:
    return Lists(tmp_path, farm.node.executors, farm.market.others[FRIENDS_ID])


async def test_strangers_cannot_make_a_farm_ask_the_chain(lists: Lists) -> None:
    """Only who is on the lists is asked for, and that once in a while."""
    assert await lists.refusal(STRANGER) == ""
    lists.files.deny(REPAIRER.address)
    assert await lists.refusal(STRANGER) == ""
    assert lists.registry.asked == 0
    lists.files.allow(FRIENDS_ID)
    for _ in range(5):
        assert await lists.refusal(STRANGER) == "is not on the allow list"
        assert await lists.refusal(FRIEND) == ""
    assert lists.registry.asked == 1


async def test_a_friends_new_key_counts_and_its_old_one_no_longer(lists: Lists) -> None:
    lists.files.allow(FRIENDS_ID)
    assert await lists.refusal(FRIEND) == ""
    lists.registry.farmers[FRIENDS_ID] = replace(
        lists.registry.farmers[FRIENDS_ID], operator=STRANGER.address
    )
    lists.seconds += OPERATOR_SECONDS
    assert await lists.refusal(STRANGER) == ""
    assert await lists.refusal(FRIEND) == "is not on the allow list"


async def test_an_id_that_nobody_has_leaves_the_others_where_they_are(lists: Lists) -> None:
    lists.files.allow(FRIENDS_ID)
    lists.files.allow(FarmerId(999))
    assert await lists.refusal(FRIEND) == ""


async def test_while_the_chain_is_away_friends_stay_friends_and_nobody_is_let_in(lists: Lists) -> None:
    lists.registry.is_away = True
    lists.files.allow(FRIENDS_ID)
    with pytest.raises(ChainDown):
        await lists.refusal(STRANGER)
    lists.registry.is_away = False
    assert await lists.refusal(FRIEND) == ""
    lists.registry.is_away = True
    lists.seconds += OPERATOR_SECONDS
    assert await lists.refusal(FRIEND) == ""
    assert await lists.refusal(STRANGER) == "is not on the allow list"


async def test_while_the_chain_is_away_it_is_asked_once_in_a_while_for_all_who_read(lists: Lists) -> None:
    """Not once more for each reader: also not for those that come side by side, however long it takes."""
    lists.files.allow(FRIENDS_ID)
    assert await lists.refusal(FRIEND) == ""
    lists.registry.is_away = True
    lists.seconds += OPERATOR_SECONDS
    asked = lists.registry.asked
    for _ in range(3):
        assert await lists.lists.refusal(STRANGER.address) == "is not on the allow list"
    await together(*(lists.lists.refusal(FRIEND.address) for _ in range(20)))
    assert lists.registry.asked == asked + 1
    lists.seconds += PAUSE_SECONDS
    await together(*(lists.lists.refusal(FRIEND.address) for _ in range(20)))
    assert lists.registry.asked == asked + 2
    lists.registry.is_away = False
    lists.seconds += PAUSE_SECONDS
    await together(*(lists.lists.refusal(FRIEND.address) for _ in range(20)))
    assert lists.registry.asked == asked + 3, "and once for all when it is back"


async def test_a_new_list_that_the_chain_cannot_explain_is_asked_about_once_for_all(lists: Lists) -> None:
    lists.registry.is_away = True
    lists.files.allow(FRIENDS_ID)
    lists.seconds += LOOK_SECONDS
    asked = [lists.lists.refusal(FRIEND.address) for _ in range(20)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ChainDown] * len(asked)
    assert lists.registry.asked == 1


def test_who_allows_renters_only_hears_that_repairers_still_read(tmp_path: Path) -> None:
    """Until somebody is on the other list."""
    config = config_for(tmp_path)
    save_config(tmp_path, config)
    begin_volume(tmp_path, config)

    def said(*arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--home", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return done.stdout

    still_open = "grange farm farmers allow"
    assert still_open in said("renters", "allow", STRANGER.address)
    assert "Allowed farmer 7 (Bob)" in said("farmers", "allow", "7", "Bob")
    assert still_open not in said("renters", "allow", STRANGER.address)
