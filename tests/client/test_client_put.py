"""Storing against farmers that are slow, broken or dishonest, and a market that says no."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from client_fakes import (
    CALM,
    HURRIED,
    PARAMETERS,
    WORDS,
    FakeFarmer,
    World,
    break_peer,
    honest,
    open_world,
)

import grange.transfer.directory
from grange.chain import ChainTimeout, ChainUnavailable, Farmer, TransactionReverted, Wallet
from grange.chain.codec import market_abi
from grange.erasure import Codec
from grange.errors import Category, Misuse
from grange.messages import Domain
from grange.peer import ReadPayments
from grange.seal import OrderKey
from grange.transfer.directory import FarmerDirectory
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import FarmerReplaced, ProgressEvent, ReadingPriceRaised
from grange.types import FarmerId, address_from
from grange.units import TOKEN
from grange_client.errors import (
    BadName,
    NotEnoughMoney,
    NothingToStore,
    NotReadable,
    PlaceFailed,
    QuoteUsed,
    SourceChanged,
)
from grange_client.files.scan import Scan, scan
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter

CODE = StoreOptions(k=2, n=4, epochs=5)


async def put(renter: Renter, path: Path, options: StoreOptions = CODE) -> tuple[Stored, list[ProgressEvent]]:
    seen: list[ProgressEvent] = []
    stored = await renter.put(await renter.quote([path], options), seen.append)
    return stored, seen


def replaced(seen: list[ProgressEvent]) -> set[int]:
    return {event.farmer for event in seen if isinstance(event, FarmerReplaced)}


async def test_one_transaction_places_everything(world: World, tree: Path) -> None:
    """However many files there are, the market is called once, with exactly what the vault lacks."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        stored = await renter.put(quote)
    [(terms, acceptances, missing)] = world.market.placed
    assert missing == quote.cost == sum(a.rate for a in acceptances) * (terms.end - quote.start)
    assert world.market.vaults[world.identity.wallet.address] == 0
    assert len({a.farmer for a in acceptances}) == 4
    assert stored.order.id == quote.order


async def test_vault_is_used_before_the_wallet(world: World, tree: Path) -> None:
    """What is in the vault already is not asked for again."""
    world.market.vaults[world.identity.wallet.address] = TOKEN * 900
    async with world.renter() as renter:
        await put(renter, tree)
    assert world.market.placed[0][2] == 0


async def test_salt_is_fresh_each_time(world: World, tree: Path) -> None:
    """Two attempts at the same files share neither order, nor key, nor ciphertext."""
    async with world.renter() as renter:
        first, _ = await put(renter, tree)
        second, _ = await put(renter, tree)
    assert first.order.id != second.order.id
    assert {s.root for s in first.order.slots}.isdisjoint({s.root for s in second.order.slots})


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_passing_failures_are_tried_again(world: World, tree: Path, status: int) -> None:
    """A farmer that is busy for a moment keeps its slot."""
    for farmer in world.farmers:
        farmer.behaviour.put_failures = deque([status, status])
    async with world.renter() as renter:
        _, seen = await put(renter, tree)
    assert not replaced(seen)


def _broken(farmer: FakeFarmer) -> None:
    farmer.behaviour.fails_from_piece = 0


def _lying(farmer: FakeFarmer) -> None:
    farmer.behaviour.put_root = bytes(32)


def _refusing(farmer: FakeFarmer) -> None:
    farmer.behaviour.accept_status = 409


def _slow(farmer: FakeFarmer) -> None:
    farmer.behaviour.put_seconds = 20


@pytest.mark.parametrize("spoil", [_broken, _lying, _refusing, _slow])
async def test_bad_farmers_are_replaced(
    world: World, tree: Path, spoil: Callable[[FakeFarmer], None]
) -> None:
    """Two farmers that fail give way to spares, and the order is whole without them."""
    world.policy = HURRIED if spoil is _slow else CALM
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        bad = [chosen.farmer.id for chosen in quote.chosen[1:3]]
        for number in bad:
            spoil(world.farmer(number))
        seen: list[ProgressEvent] = []
        stored = await renter.put(quote, seen.append)
    assert set(bad) <= replaced(seen)
    assert not set(bad) & {slot.farmer for slot in stored.order.slots}


@pytest.mark.parametrize("method", ["put_piece", "accept"])
async def test_error_that_nobody_foresaw_costs_one_farmer_its_slot(
    world: World,
    tree: Path,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug that one farmer brings out is logged, and the order is placed without that farmer."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        bad = quote.chosen[1].farmer.id
        break_peer(monkeypatch, method, bad)
        seen: list[ProgressEvent] = []
        stored = await renter.put(quote, seen.append)
    assert replaced(seen) == {bad}
    assert bad not in {slot.farmer for slot in stored.order.slots}
    assert f"farmer {bad}: ZeroDivisionError" in caplog.text
    assert "\x1b" not in caplog.text


async def test_farmer_that_nobody_understands_is_not_chosen(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that one farmer brings out while farmers are looked for leaves the others."""
    break_peer(monkeypatch, "info", 3)
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        [report] = [one for one in await renter.farmers() if one.farmer.id == 3]
    assert 3 not in {chosen.farmer.id for chosen in quote.choice.ranked}
    assert "unexpected error: ZeroDivisionError" in report.silent


async def test_farmer_that_fails_late_is_caught_up(world: World, tmp_path: Path) -> None:
    """A spare that joins in the middle gets the earlier pieces too: same bytes, read again from the files."""
    (tmp_path / "file").write_bytes(os.urandom(5 << 20))
    async with world.renter() as renter:
        quote = await renter.quote([tmp_path / "file"], CODE)
        assert quote.geometry.segments > 2
        bad = quote.chosen[0].farmer.id
        world.farmer(bad).behaviour.fails_from_piece = quote.geometry.segments - 1
        stored = await renter.put(quote)
        assert bad not in {slot.farmer for slot in stored.order.slots}
        await renter.get(stored.order, tmp_path / "back")
    assert (tmp_path / "back" / "file").read_bytes() == (tmp_path / "file").read_bytes()


def _changed(**fields: Any) -> Callable[[FakeFarmer, dict[str, Any]], dict[str, Any]]:
    return lambda farmer, honest_fields: farmer.sign(honest_fields | fields)


def _over(**fields: Any) -> Callable[[FakeFarmer, dict[str, Any]], dict[str, Any]]:
    return lambda farmer, honest_fields: farmer.sign(honest_fields, **fields)


FORGERIES = {
    "another root": _changed(root=bytes(32)),
    "dearer": lambda farmer, fields: farmer.sign(fields | {"rate": fields["rate"] + 1}),
    "for nothing": _changed(rate=0),
    "another slot": _changed(slot=200),
    "another farmer": _changed(farmer=99),
    "shorter": lambda farmer, fields: farmer.sign(fields | {"end": fields["end"] - 8}),
    "fewer leaves": _changed(leaf_count=1),
    "already over": _changed(deadline_block=20),
    "signed for another order": _over(order=bytes(32)),
    "signed for another slot": _over(slot=201),
    "signed for another root": _over(root=bytes(32)),
    "signed for another chain": _over(domain=Domain(chain_id=1, market=address_from(bytes(19) + b"\x01"))),
    "signed for another market": _over(domain=Domain(chain_id=1337, market=address_from(bytes(20)))),
    "signed by nobody": lambda farmer, fields: {**fields, "r": bytes(32), "vs": bytes(32)},
    "signed by another farmer": lambda farmer, fields: FakeFarmer(99, farmer.market).sign(fields),
    "no answer at all": lambda farmer, fields: {"hello": "there"},
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
async def test_forged_acceptances_are_not_placed(
    world: World, tree: Path, forgery: Callable[[FakeFarmer, dict[str, Any]], dict[str, Any]]
) -> None:
    """An acceptance that is not exactly what was asked for costs its farmer the slot, and the renter
    nothing."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        bad = quote.chosen[0].farmer.id
        world.farmer(bad).behaviour.acceptance = forgery
        stored = await renter.put(quote)
    assert bad not in {slot.farmer for slot in stored.order.slots}
    assert len(world.market.placed) == 1


async def test_acceptance_for_another_renter_is_refused(world: World, tree: Path) -> None:
    """The order's id holds the renter: what was signed for somebody else's order is for another order."""
    other = StoreOptions(k=2, n=4, epochs=5)
    async with world.renter() as renter:
        quote = await renter.quote([tree], other)
        farmer = world.farmer(quote.chosen[0].farmer.id)
        farmer.behaviour.acceptance = lambda one, fields: one.sign(fields, order=b"\x07" * 32)
        stored = await renter.put(quote)
    assert farmer.id not in {slot.farmer for slot in stored.order.slots}


async def test_liars_are_not_chosen_again(world: World, tree: Path) -> None:
    """Who lied once is remembered and gets no further order."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        liar = quote.chosen[0].farmer.id
        world.farmer(liar).behaviour.put_root = bytes(32)
        await renter.put(quote)
        again = await renter.quote([tree], CODE)
    assert again.choice.unfit[liar] == "was caught lying"


async def test_too_few_farmers_left(world: World, tree: Path) -> None:
    """When no spare is left, the error names who failed and why, and what was staged is given up."""
    for farmer in world.farmers[:6]:
        farmer.behaviour.accept_status = 409
    async with world.renter() as renter:
        with pytest.raises(NotEnoughFarmers) as raised:
            await put(renter, tree)
    assert len(raised.value.failures) >= 3
    assert "terms_refused" in str(raised.value.failures)
    assert not world.market.placed
    assert sum("delete" in farmer.calls for farmer in world.farmers) >= 4


async def test_too_few_farmers_to_begin_with(world: World, tree: Path) -> None:
    """Of too few farmers nothing is asked; each is listed with what was wrong with it."""
    await world.farmer(1).stop()
    world.farmer(2).behaviour.info = {"free_bytes": 0}
    world.farmer(3).behaviour.info = {"farmer": 4}
    world.farmer(4).behaviour.info = {"chain_id": 1}
    world.change(5, stake=1)
    async with world.renter() as renter:
        with pytest.raises(NotEnoughFarmers) as raised:
            await renter.quote([tree], CODE)
    failures = raised.value.failures
    assert raised.value.missing == 1
    assert "cannot be reached" in failures["farmer 1"]
    assert "no room" in failures["farmer 2"]
    assert "answers where" in failures["farmer 3"]
    assert "another market" in failures["farmer 4"]
    assert "stake" in failures["farmer 5"]
    assert world.staged == 0


async def test_source_that_changes_stops_it(world: World, tree: Path) -> None:
    """A file that changes after the scan is named, and nothing is placed."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        (tree / "small.txt").write_bytes(b"other words")
        with pytest.raises(SourceChanged, match=r"small\.txt"):
            await renter.put(quote)
    assert not world.market.placed


async def test_source_that_changes_after_it_was_read(world: World, tree: Path) -> None:
    """A change between the last read and the order is found too."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        for farmer in world.farmers:

            def acceptance(farmer: FakeFarmer, fields: dict[str, Any]) -> dict[str, Any]:
                os.utime(tree / "zero", ns=(5, 5))
                return honest(farmer, fields)

            farmer.behaviour.acceptance = acceptance
        with pytest.raises(SourceChanged, match="zero"):
            await renter.put(quote)
    assert not world.market.placed


async def test_more_than_an_order_holds_is_said_before_it_is_sent(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the largest of the files, and what to do."""

    def huge(paths: Any) -> Scan:
        found = scan(paths)
        grown = (replace(e, size_bytes=1 << 50) if e.path == b"tree/zero" else e for e in found.entries)
        return replace(found, entries=tuple(grown))

    monkeypatch.setattr("grange_client.orders.store.scan", huge)
    async with world.renter() as renter:
        with pytest.raises(NothingToStore, match="tree/zero has 1,125,899,906,842,624 of them"):
            await renter.quote([tree], CODE)
    assert world.staged == 0


def _flip(sealed: bytes) -> bytes:
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


async def test_sealed_bytes_that_do_not_open_are_not_sent(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit that falls over while sealing is found before a farmer has any of it."""
    seal = OrderKey.seal
    monkeypatch.setattr(OrderKey, "seal", lambda key, index, plain: _flip(seal(key, index, plain)))
    async with world.renter() as renter:
        with pytest.raises(NotReadable, match="after it was sealed"):
            await put(renter, tree)
    assert not world.market.placed
    assert world.staged == 0


async def test_coded_pieces_that_do_not_decode_are_not_sent(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parity that would give back something else is found in the first segment."""
    parity = Codec.parity
    monkeypatch.setattr(Codec, "parity", lambda codec, blocks: [*map(_flip, parity(codec, blocks))])
    async with world.renter() as renter:
        with pytest.raises(NotReadable, match="after it was coded"):
            await put(renter, tree)
    assert not world.market.placed
    assert world.staged == 0


async def test_same_nonce_never_seals_other_bytes(world: World, tmp_path: Path) -> None:
    """A file changed behind our back, size and time kept, is not sent to a replacement under the same key."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(5 << 20))
    info = file.stat()
    async with world.renter() as renter:
        quote = await renter.quote([file], CODE)
        bad = world.farmer(quote.chosen[0].farmer.id)

        def refuse(farmer: FakeFarmer, fields: dict[str, Any]) -> dict[str, Any]:
            with file.open("r+b") as opened:
                opened.write(b"X" * 4096)
            os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
            return {"no": "answer"}

        bad.behaviour.acceptance = refuse
        with pytest.raises(SourceChanged, match="file changed"):
            await renter.put(quote)
    spare = quote.choice.ranked[4].farmer.id
    assert not world.farmer(spare).pieces


@pytest.mark.parametrize("fails", [False, True], ids=["after success", "after failure"])
async def test_quote_is_good_for_one_attempt(world: World, tree: Path, fails: bool) -> None:
    """However the first attempt ended: a second one would seal under the same key and nonces."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        if fails:
            world.market.failures.append(TransactionReverted("place", "EndTooSoon", {}))
            with pytest.raises(PlaceFailed):
                await renter.put(quote)
        else:
            await renter.put(quote)
        calls = sum(len(farmer.calls) for farmer in world.farmers)
        for copy in (quote, replace(quote, cost=0)):
            with pytest.raises(Misuse, match="used already"):
                await renter.put(copy)
    async with world.renter() as another:
        with pytest.raises(QuoteUsed):
            await another.put(quote)
    assert sum(len(farmer.calls) for farmer in world.farmers) == calls


async def test_vault_too_small_says_how_much(world: World, tree: Path) -> None:
    """The error names what is missing, before a byte is sent."""
    world.market.wallets[world.identity.wallet.address] = 10
    async with world.renter() as renter:
        with pytest.raises(NotEnoughMoney, match="tokens are missing") as raised:
            await renter.quote([tree], CODE)
    assert "in the vault" in raised.value.detail
    assert world.staged == 0


async def test_an_account_that_the_token_blocks_uploads_nothing(world: World, tree: Path) -> None:
    """It is found out with the price. From the vault it stores as ever, since that moves no tokens."""
    world.market.is_blocked = True
    async with world.renter() as renter:
        with pytest.raises(TransactionReverted) as refused:
            await renter.quote([tree], CODE)
        assert refused.value.is_by_token
        assert not world.staged
        world.market.vaults[world.market.renter] = 1000 * TOKEN
        await renter.put(await renter.quote([tree], CODE))


async def test_a_wallet_without_tokens_is_not_taken_for_a_blocked_one(world: World, tree: Path) -> None:
    """Its token refuses as well: there is nothing to move."""
    world.market.wallets[world.market.renter] = 0
    async with world.renter() as renter:
        assert (await renter.funds()).refusal is None
        with pytest.raises(NotEnoughMoney, match="tokens are missing"):
            await renter.quote([tree], CODE)
        world.market.vaults[world.market.renter] = 1000 * TOKEN
        await renter.put(await renter.quote([tree], CODE))


async def test_no_gas_tokens(world: World, tree: Path) -> None:
    """A wallet that cannot pay for gas is found before the upload."""
    world.market.native = 0
    async with world.renter() as renter:
        with pytest.raises(NotEnoughMoney, match="gas"):
            await renter.quote([tree], CODE)


async def test_too_few_gas_tokens(world: World, tree: Path) -> None:
    """And one that can pay for some gas, but not for what placing takes."""
    world.market.native = 10**9
    async with world.renter() as renter:
        with pytest.raises(NotEnoughMoney, match=r"has 0\.000000001 gas tokens") as raised:
            await renter.quote([tree], CODE)
    assert "Nothing was uploaded" in raised.value.detail
    assert world.staged == 0


async def test_refused_order_costs_nothing(world: World, tree: Path) -> None:
    """An order that the market refuses for good is reported with the market's own word."""
    world.market.failures.append(TransactionReverted("place", "EndTooSoon", {"end": 8, "from": 9}))
    async with world.renter() as renter:
        with pytest.raises(PlaceFailed, match="EndTooSoon"):
            await put(renter, tree)
        assert await renter.orders() == []


@pytest.mark.parametrize(
    "objection",
    [
        *("StakeTooSmall", "AcceptanceForged", "DuplicateFarmer", "UnknownFarmer", "RateTooLarge"),
        *("CeilingExceeded", "FarmerLapsed", "BookMostlyLost"),
    ],
)
async def test_farmer_that_the_market_refuses_is_replaced(world: World, tree: Path, objection: str) -> None:
    """Whatever the market objects to in a farmer, another takes its slot: no farmer can stop an order by what
    it does to itself between its signature and the block."""
    assert "farmer" in {error.name: error for error in market_abi().errors.values()}[objection].inputs.names
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        poor = quote.chosen[2].farmer.id
        world.market.failures.append(TransactionReverted("placeWithPermit", objection, {"farmer": poor}))
        stored = await renter.put(quote)
    assert poor not in {slot.farmer for slot in stored.order.slots}


async def test_lapsed_acceptances_are_asked_for_again(world: World, tree: Path) -> None:
    """Acceptances that lapse before the order is mined are renewed, without storing anything again."""

    def lapse() -> None:
        world.market.block += 400

    async with world.renter() as renter:
        world.market.failures.append(lapse)
        stored, seen = await put(renter, tree, StoreOptions(k=2, n=4, until=96))
    assert not replaced(seen)
    asked = [farmer for farmer in world.farmers if farmer.calls.count("accept") == 2]
    assert {farmer.id for farmer in asked} == {slot.farmer for slot in stored.order.slots}
    assert all(farmer.calls.count("put") == stored.order.geometry.segments for farmer in asked)


async def test_acceptance_that_lapses_too_soon_is_asked_for_again(world: World, tree: Path) -> None:
    """With no spare left, the farmer that gave it is asked for another, and keeps its slot."""
    for number in (5, 6, 7, 8):
        world.change(number, stake=1)
    hasty, answers = world.farmer(2), []

    def acceptance(farmer: FakeFarmer, fields: dict[str, Any]) -> dict[str, Any]:
        soon = world.market.block + (1 if not answers else 100)
        answers.append(soon)
        return honest(farmer, fields | {"deadline_block": soon})

    hasty.behaviour.acceptance = acceptance
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        assert len(quote.choice.ranked) == 4
        seen: list[ProgressEvent] = []
        stored = await renter.put(quote, seen.append)
    assert len(answers) == 2
    assert not replaced(seen)
    assert hasty.id in {slot.farmer for slot in stored.order.slots}


async def test_acceptances_that_always_lapse_too_soon_end_it(world: World, tree: Path) -> None:
    """The farmer is asked a few times and no more."""
    for number in (5, 6, 7, 8):
        world.change(number, stake=1)
    world.farmer(2).behaviour.life_blocks = 1
    async with world.renter() as renter:
        with pytest.raises(NotEnoughFarmers) as raised:
            await put(renter, tree)
    assert "too soon" in raised.value.failures["farmer 2"]
    assert world.farmer(2).calls.count("accept") == CALM.tries


async def test_farmer_whose_acceptances_lapse_too_soon_gives_way_to_a_spare(world: World, tree: Path) -> None:
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        hasty = quote.chosen[0].farmer.id
        world.farmer(hasty).behaviour.life_blocks = 1
        seen: list[ProgressEvent] = []
        await renter.put(quote, seen.append)
    assert replaced(seen) == {hasty}


async def test_vault_that_shrinks_meanwhile(world: World, tree: Path) -> None:
    """If another order takes from the vault first, the rest comes from the wallet."""
    account = world.identity.wallet.address
    world.market.vaults[account] = 900 * TOKEN

    def spend() -> None:
        world.market.vaults[account] = 0

    world.market.failures.append(spend)
    async with world.renter() as renter:
        await put(renter, tree)
    assert world.market.placed[0][2] > 0


@pytest.mark.parametrize(
    "error", [ChainUnavailable("http://x", "down"), ChainTimeout("http://x", "eth_call", 5.0)]
)
async def test_chain_that_fails_during_place(world: World, tree: Path, error: Exception) -> None:
    """The chain's own error comes out, and what was staged is given up."""
    world.market.failures.append(error)
    async with world.renter() as renter:
        with pytest.raises(type(error)):
            await put(renter, tree)
    assert not world.market.placed


async def test_killed_process_pays_nothing(world: World, tree: Path) -> None:
    """Cancelled in the middle, nothing was placed; the next attempt begins again and works."""
    for farmer in world.farmers:
        farmer.behaviour.put_seconds = 5
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        task = asyncio.create_task(renter.put(quote))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not world.market.placed
    for farmer in world.farmers:
        farmer.behaviour.put_seconds = 0
    async with world.renter() as renter:
        assert await renter.orders() == []
        await put(renter, tree)
    assert len(world.market.placed) == 1


async def test_default_code_depends_on_who_is_there(world: World, tree: Path) -> None:
    """With few farmers it is 4 of 8."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], StoreOptions())
    assert (quote.geometry.k, quote.geometry.n) == (4, 8)
    assert quote.end % 8 == 0


@pytest.mark.parametrize(("alive", "code"), [(1, (1, 1)), (2, (1, 2)), (5, (2, 5)), (7, (3, 7))])
async def test_with_few_farmers_the_plain_put_works(
    world: World, tree: Path, alive: int, code: tuple[int, int]
) -> None:
    """Anyone who lapsed, has no stake or does not answer is not counted, and what may fail is said."""
    for number in range(alive + 1, 9):
        if number == 8:
            await world.farmer(number).stop()
        else:
            world.change(number, **({"lapsed": True} if number % 2 else {"stake": 0}))
    async with world.renter() as renter:
        quote = await renter.quote([tree], StoreOptions())
        assert (quote.geometry.k, quote.geometry.n) == code
        assert "Few farmers may fail" in quote.cautions[0]
        stored = await renter.put(quote)
    assert {slot.farmer for slot in stored.order.slots} == set(range(1, alive + 1))


async def test_the_default_code_goes_by_who_can_take_its_slots(tmp_path: Path, tree: Path) -> None:
    """12 farmers alive and 18 that lapsed are 4 of 8, and not 10 of 30, which nobody could take."""
    async with open_world(tmp_path / "home", 12) as world:
        for number in range(13, 31):
            market = world.market
            market.known.append(replace(market.known[0], id=FarmerId(number), lapsed=True, stake=0))
        async with world.renter() as renter:
            quote = await renter.quote([tree], StoreOptions())
    assert (quote.geometry.k, quote.geometry.n) == (4, 8)


async def test_names_with_next_to_no_stake_do_not_hide_known_farmers(world: World, tree: Path) -> None:
    """Of 10,000 names most are never asked, and an order is placed with those that are known."""
    template = world.market.known[0]
    for number in range(100, 10_100):
        world.market.known.append(
            replace(template, id=FarmerId(number), stake=10**6, endpoint="http://127.0.0.1:1")
        )
    async with world.renter() as renter:
        renter.reputations.note_successes(map(FarmerId, range(1, 9)))
        quote = await renter.quote([tree], StoreOptions(k=4, n=8))
        assert {one.farmer.id for one in quote.chosen} == set(range(1, 9))


async def test_too_few_farmers_says_which_n_would_do(world: World, tree: Path) -> None:
    for number in (6, 7, 8):
        world.change(number, lapsed=True)
    async with world.renter() as renter:
        with pytest.raises(NotEnoughFarmers, match="8 farmers are needed, and 5 of the 8") as raised:
            await renter.quote([tree], StoreOptions(n=8))
    assert "--n 5" in raised.value.hint
    assert raised.value.failures["farmer 6"] == "has lapsed for its misses"


async def test_where_nobody_can_take_anything_that_is_said(world: World, tree: Path) -> None:
    for number in range(1, 9):
        world.change(number, lapsed=True)
    async with world.renter() as renter:
        with pytest.raises(NotEnoughFarmers, match="A farmer is needed, and 0 of the 8") as raised:
            await renter.quote([tree], StoreOptions())
    assert "--n" not in raised.value.hint


async def test_a_young_market_is_called_that(world: World, tree: Path) -> None:
    """Until enough farmers have proven ten epochs; then at most (n - k) / 2 strangers take part."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        assert "This market is young: 4 of the 4 farmers" in quote.cautions[-1]
        world.market.block = 20 * PARAMETERS.epoch_blocks
        for number in (1, 2, 3):
            world.market.proven[FarmerId(number)] = 10
        quote = await renter.quote([tree], CODE)
        assert not [one for one in quote.cautions if "young" in one]
        assert {1, 2, 3} < {one.farmer.id for one in quote.chosen}
        assert len(quote.choice.ranked) == 4


async def test_a_farmer_that_asks_a_ransom_is_remembered(world: World, tree: Path) -> None:
    """It raised its price for reading when it had the data; lowered again, it is given nothing more."""
    async with world.renter() as renter:
        order = (await put(renter, tree))[0].order
        extorter = order.slots[0].farmer
        offer = world.market.known[extorter - 1].offer
        world.change(extorter, offer=replace(offer, egress_price_per_gib=TOKEN << 20))
        seen: list[ProgressEvent] = []
        quote = await renter.quote([tree], CODE, seen.append)
        assert ReadingPriceRaised(farmer=extorter, price_per_gib=TOKEN << 20) in seen
        assert "far more than others" in quote.choice.unfit[extorter]
        world.change(extorter, offer=offer)
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        assert quote.choice.unfit[extorter] == (
            "asked 1048576 tokens for reading a GiB of what it kept for you"
        )
        assert extorter not in {one.farmer.id for one in quote.choice.ranked}


async def test_a_farmer_whose_price_others_fall_below_is_no_extorter(world: World, tree: Path) -> None:
    """Anyone who moves the median would else have every honest farmer of an order passed over for good."""
    world.sell(100 * TOKEN, vault=0)
    async with world.renter() as renter:
        order = (await put(renter, tree))[0].order
        honest = order.slots[0].farmer
        for number in range(1, 9):
            if number != honest:
                offer = replace(
                    world.market.known[number - 1].offer, egress_price_per_gib=0, price_per_gib_epoch=1
                )
                world.change(number, offer=offer)
        seen: list[ProgressEvent] = []
        quote = await renter.quote([tree], CODE, seen.append)
        assert "far more than others" in quote.choice.unfit[honest]
        assert not [one for one in seen if isinstance(one, ReadingPriceRaised)]
        world.sell(100 * TOKEN, vault=0)
        quote = await renter.quote([tree], CODE)
        assert honest not in quote.choice.unfit


async def test_a_farmer_that_raises_its_price_after_an_extension_is_remembered(
    world: World, tree: Path
) -> None:
    async with world.renter() as renter:
        order = (await put(renter, tree))[0].order
        await renter.extend(await renter.quote_extension(order, None))
        extorter = order.slots[0].farmer
        offer = world.market.known[extorter - 1].offer
        world.change(extorter, offer=replace(offer, egress_price_per_gib=TOKEN << 20))
        seen: list[ProgressEvent] = []
        await renter.quote([tree], CODE, seen.append)
    assert ReadingPriceRaised(farmer=extorter, price_per_gib=TOKEN << 20) in seen


async def test_a_farmer_whose_key_was_rotated_is_not_a_liar(world: World, tree: Path) -> None:
    """The chain had its old key when the upload began: it costs the farmer this order, not all that come."""
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        rotated = quote.chosen[0].farmer.id
        world.farmer(rotated).wallet = Wallet(b"\7" * 32)
        seen: list[ProgressEvent] = []
        stored = await renter.put(quote, seen.append)
        assert rotated not in {slot.farmer for slot in stored.order.slots}
        world.change(rotated, operator=world.farmer(rotated).wallet.address)
        again = await renter.quote([tree], CODE)
        assert rotated not in again.choice.unfit


async def test_a_market_in_which_all_sell_reads_is_no_extortion(world: World, tree: Path) -> None:
    async with world.renter() as renter:
        await put(renter, tree)
        world.sell(100 * TOKEN, vault=0)
        seen: list[ProgressEvent] = []
        quote = await renter.quote([tree], CODE, seen.append)
    assert len(quote.choice.ranked) > 4
    assert not [one for one in seen if isinstance(one, ReadingPriceRaised)]


async def test_tried_farmers_that_are_cheap_are_called_cheap_and_not_strangers(
    world: World, tree: Path
) -> None:
    world.market.block = 20 * PARAMETERS.epoch_blocks
    for number in range(1, 9):
        world.market.proven[FarmerId(number)] = 10
        if number > 2:
            world.change(number, lapsed=number > 4)
    for number in (3, 4):
        offer = replace(world.market.known[0].offer, price_per_gib_epoch=1)
        world.change(number, offer=offer, stake=TOKEN)
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
    assert [caution for caution in quote.cautions if "2 of the 4 farmers ask less than half" in caution]
    assert not [caution for caution in quote.cautions if "young" in caution]


async def test_what_was_only_taken_makes_nobody_known(world: World, tree: Path) -> None:
    """Who accepted an order of ours is a stranger still; who proved an epoch of it is not."""
    async with world.renter() as renter:
        order = (await put(renter, tree))[0].order
        assert (await renter.quote([tree], CODE)).choice.young
        world.market.block = (order.start + 1) * PARAMETERS.epoch_blocks
        for slot in order.slots:
            world.market.proven[slot.farmer] = 1
        again = await renter.quote([tree], CODE)
    assert not again.choice.young
    assert {one.farmer.id for one in again.chosen[:3]} <= {slot.farmer for slot in order.slots}


async def test_names_that_never_answer_hold_nobody_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not answered in time is left out, and the others are there."""
    answered, all_others = list[FarmerId](), asyncio.Event()

    class Silent:
        async def greet(self) -> None:
            await asyncio.Event().wait()

    class Directory(FarmerDirectory):
        def peer(self, farmer: Farmer, payments: ReadPayments | None = None) -> Any:
            return Silent() if farmer.id == 3 else super().peer(farmer, payments)

    async def networks_of(farmer: Farmer) -> frozenset[str]:
        answered.append(farmer.id)
        if len(answered) == 7:
            all_others.set()
        return frozenset()

    async def sleep(_: float) -> None:
        await all_others.wait()

    monkeypatch.setattr(grange.transfer.directory, "networks_of", networks_of)
    async with world.renter() as renter:
        known = renter._directory
        directory = Directory(
            world.market,
            known.signer,
            known.payments,
            known._session,
            policy=known.policy,
            sleep=sleep,
        )
        found = await directory.probe(world.market.known)
        await directory.close()
    assert {one.farmer.id for one in found.candidates} == {1, 2, 4, 5, 6, 7, 8}
    assert found.silent == {3: "Farmer 3 did not answer in time."}


async def test_nothing_to_store(world: World, tmp_path: Path) -> None:
    """A path that is not there is an error of its own."""
    async with world.renter() as renter:
        with pytest.raises(NothingToStore, match="nowhere"):
            await renter.quote([tmp_path / "nowhere"], CODE)


async def test_name_that_no_terminal_should_see(world: World, tree: Path) -> None:
    """Names of orders are printable; another is wrong usage."""
    async with world.renter() as renter:
        for name in ("a\x1b[2J", "two\nlines", "x" * 256, ""):
            with pytest.raises(BadName, match="printable characters"):
                await renter.quote([tree], StoreOptions(k=2, n=4, name=name))
    assert BadName.category is Category.USAGE


def test_words_of_the_fakes_are_well_known() -> None:
    """The fakes use the words that every Ethereum developer has seen, never anybody's."""
    assert WORDS.endswith("junk")
