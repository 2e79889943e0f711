"""A farm that mends its own from sources that cost money: real farmers, a real contract, to the base unit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_command import grange
from e2e_gate import Gate
from e2e_repair import piece_files
from e2e_town import PARAMETERS, Town, eventually, stored
from e2e_tree import plain_file

from grange.chain import calls
from grange.layout import Geometry
from grange.peer import PaymentChannels
from grange.reads import READ_THIRDS, is_open
from grange.token_unit import PLAIN_UNIT
from grange.types import FarmerId, Slot
from grange.units import GIB, TOKEN, egress_rounded_up, rate_rounded_up
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet import Devnet
from grange_devnet.engines import missing_reason
from grange_devnet.fleet import FarmerProcess, Fleet, FleetOptions
from grange_node.config import CHANNELS_NAME, REPAIRS_NAME
from grange_node.self_repair.repair_spending import RepairSpending

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]
FARMERS = 4
K = 2
FEW_MB = 3_000_000
STORAGE_TOKENS, EGRESS_TOKENS = 100, 400
"""For a GiB: a piece costs a small part of what its slot is worth, and a few are worth redeeming when their
payer leaves."""
ROTTEN = range(4)
FUNDS = 20 * TOKEN
TOO_DEAR = "Reading on would cost more"
EPOCHS = 60
STORED = StoreOptions(k=K, n=FARMERS, epochs=EPOCHS)
NO_MORE = Fraction(0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A town whose farmers sell reads."""
    engine = "anvil" if missing_reason("anvil") is None else "py-evm"
    folder = tmp_path_factory.mktemp("shop")
    options = FleetOptions(
        price_tokens_per_gib=str(STORAGE_TOKENS), egress_price_tokens_per_gib=str(EGRESS_TOKENS)
    )
    async with AsyncExitStack() as stack:
        devnet = await stack.enter_async_context(Devnet.start(engine=engine, parameters=PARAMETERS))
        gate = await stack.enter_async_context(Gate.before(devnet.rpc_url))
        fleet = await stack.enter_async_context(Fleet.start(devnet, FARMERS, folder, options=options))
        yield Town(devnet, fleet, gate, folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A farm with a slot that is going to be damaged, and the money to mend it."""

    town: Town
    farmer: FarmerProcess
    stored: Stored

    @classmethod
    async def of(cls, shop: Town, folder: Path, number: int, *, others_ask: Fraction = NO_MORE) -> Patient:
        """The farm of this number, with a slot of a new order that all have proven once. The others have
        signed that a piece of it costs this share of what the slot is worth. They cannot ask for more
        later."""
        source = plain_file(folder / "one.bin", FEW_MB, seed=number)
        config = (await shop.person()).config
        if others_ask:
            async with Renter.open(config) as renter:
                quote = await renter.quote([source], STORED)
            await _ask(shop, number, others_ask, quote.geometry)
        placed = await stored(config, source, STORED)
        await shop.devnet.faucet(shop.farmers[number].address, tokens=FUNDS)
        await shop.quiet()
        return cls(town=shop, farmer=shop.farmers[number], stored=placed)

    @property
    def slot(self) -> tuple[int, Slot]:
        """What it keeps, and where in the order."""
        slots = enumerate(self.stored.order.slots)
        return next((index, slot) for index, slot in slots if slot.farmer == self.farmer.farmer)

    @property
    def files(self) -> list[Path]:
        """Its pieces."""
        return sorted(piece_files(self.farmer, self.stored.order.id))

    @property
    def others(self) -> list[FarmerProcess]:
        """From whom it can read."""
        return [one for one in self.town.farmers if one is not self.farmer]

    @property
    def repairs(self) -> Path:
        return self.farmer.data / REPAIRS_NAME

    async def worth(self) -> int:
        """What giving the slot up would cost."""
        epochs = self.town.chain.parameters.collateral_epochs
        left = self.stored.order.end - (await self.town.chain.head()).epoch
        return (epochs + left) * self.slot[1].rate

    def signed(self) -> dict[FarmerId, int]:
        """What it has signed away to each source in all, as its channels say."""
        with PaymentChannels.open(
            self.repairs / CHANNELS_NAME, domain=self.town.chain.domain, payer=self.farmer.address
        ) as channels:
            return channels.totals()

    def spent(self) -> int:
        """What the slot has cost so far, as the farm remembers it."""
        return RepairSpending(self.repairs).paid(self.stored.order.id, self.slot[0])

    async def falls_ill(self, *pieces: int, by_kill: bool = False) -> list[bytes]:
        """Rot comes over some pieces while the farm is down; gives what all of them were."""
        await (self.farmer.kill() if by_kill else self.farmer.stop())
        before = [path.read_bytes() for path in self.files]
        for piece in pieces:
            rot(self.files[piece])
        await self.farmer.start()
        return before

    async def until_whole(self, before: Sequence[bytes]) -> None:
        """Let epochs pass until all pieces are what they were: the others show a third of them in each."""

        def wrong() -> list[int]:
            return [piece for piece, path in enumerate(self.files) if path.read_bytes() != before[piece]]

        async def none_is_open() -> bool:
            epoch = (await self.town.chain.head()).epoch
            return not any(is_open(piece, epoch) for piece in wrong())

        for _ in range(2 * READ_THIRDS):
            await eventually(none_is_open, "the pieces that the others show now are back")
            if not wrong():
                return
            await self.town.quiet(but=[self.farmer])
        raise AssertionError(f"pieces {wrong()} are not back after {2 * READ_THIRDS} epochs")

    async def until_said(self, what: str, times: int = 1) -> None:
        """Wait until its log has it so many times."""

        async def has_said() -> bool:
            return self.farmer.log.read_text(errors="replace").count(what) >= times

        await eventually(has_said, f"the farm says {what!r}")


async def test_what_is_mended_is_paid_for_once_through_kills_and_restarts(shop: Town, tmp_path: Path) -> None:
    """Two pieces of others for each of ours. The second time its vouchers go on from where they were, and the
    sources get all of it."""
    sick = await Patient.of(shop, tmp_path, 0)
    chain, payer = shop.chain, sick.farmer.address
    price = egress_rounded_up(EGRESS_TOKENS * TOKEN, sick.stored.order.geometry.piece_bytes)
    owed: dict[FarmerId, int] = {}
    for turn, by_kill in enumerate((False, True), start=1):
        await sick.until_whole(await sick.falls_ill(*ROTTEN, by_kill=by_kill))
        owed = sick.signed()
        assert list(owed.values()) == [turn * len(ROTTEN) * price] * K
        assert sick.spent() == sum(owed.values()) <= await sick.worth()
        assert await chain.vault(payer) >= sum(owed.values())

    await sick.farmer.stop()
    vault = await chain.vault(payer)
    await shop.sender(shop.operator(sick.farmer)).send(calls.request_withdrawal(vault))

    async def redeemed() -> bool:
        return {farmer: await chain.redeemed(farmer, payer) for farmer in owed} == owed

    await eventually(redeemed, "the sources have redeemed what was signed")
    assert await chain.vault(payer) == vault - sum(owed.values())
    await sick.farmer.start()


async def test_a_slot_that_is_not_worth_its_mending_is_given_up_and_nothing_is_paid(
    shop: Town, tmp_path: Path
) -> None:
    sick = await Patient.of(shop, tmp_path, 2, others_ask=Fraction(1))
    chain, order = shop.chain, sick.stored.order
    vault = await chain.vault(sick.farmer.address)
    await sick.falls_ill(*range(order.geometry.segments))
    await sick.until_said(TOO_DEAR)
    # A whole epoch later it is no failure of a moment, whatever block that one began in.
    await shop.quiet(but=[sick.farmer])
    await shop.next_epoch()

    async def given_up() -> bool:
        head = (await chain.head()).number
        return bool(await chain.logs(0, head, ["LossDeclared"], {"order": order.id}))

    await eventually(given_up, "the slot is declared lost")
    assert (sick.signed(), sick.spent()) == ({}, 0)
    assert await chain.vault(sick.farmer.address) == vault


async def test_rot_that_is_charged_for_costs_no_more_than_the_slot_through_restarts(
    shop: Town, tmp_path: Path
) -> None:
    """All the others send wrong bytes, and ask a quarter of the slot's worth for each piece. They are left
    ill: this test is the last."""
    sick = await Patient.of(shop, tmp_path, 1, others_ask=Fraction(1, 4))
    for other in sick.others:
        for path in piece_files(other, sick.stored.order.id):
            rot(path)
    before = sum(sick.signed().values()) if sick.repairs.exists() else 0
    # One that the others show in this epoch; the next comes only when it is told to.
    await sick.falls_ill((await shop.chain.head()).epoch % READ_THIRDS)
    await sick.until_said(TOO_DEAR)
    spent = sick.spent()
    assert 0 < spent == sum(sick.signed().values()) - before <= await sick.worth()

    await sick.farmer.kill()
    await sick.farmer.start()
    await sick.until_said(TOO_DEAR, times=2)
    assert sick.spent() == spent == sum(sick.signed().values()) - before


async def _ask(shop: Town, number: int, share: Fraction, geometry: Geometry) -> None:
    """All but this one offer a piece for a share of what a slot is worth on the day on which it is placed."""
    rate = rate_rounded_up(STORAGE_TOKENS * TOKEN, geometry.slot_bytes)
    worth = (shop.chain.parameters.collateral_epochs + EPOCHS) * rate
    asked = PLAIN_UNIT.number(int(share * worth) * GIB // geometry.piece_bytes)
    for other in [one for index, one in enumerate(shop.farmers) if index != number]:
        await other.stop()
        ran = await grange("farm", "update", "--egress-price", asked, "--home", other.home)
        assert ran.code == 0, ran
        await other.start()


def rot(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))
