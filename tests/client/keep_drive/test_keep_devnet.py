"""Keeping on a real market: mandates are given, taken off and go on; what nobody proved comes back."""

from pathlib import Path

from client.keep_drive.keep_drive_samples import keep_run, scan
from client.packs.pack_samples import in_thread
from client.test_client_devnet import Town, town
from client_fakes import CALM

from grange.chain.witnesses import find_known_order
from grange.types import Epoch
from grange_client.drive.keys import DriveSecret
from grange_client.drive_session import DriveSession
from grange_client.keep.plan import Close, GiveMandate
from grange_client.keep.policy import KeepPolicy, policy_records
from grange_client.keep_drive.port import DriveKeeper
from grange_client.mandates import NO_MANDATE
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter

__all__ = ["town"]
CODE = StoreOptions(k=2, n=4)


async def test_a_mandate_is_given_over_all_packs_taken_off_and_refunds_come_back(
    town: Town, tmp_path: Path
) -> None:
    """With the policy's fee and date, for the orders that end before it; an order that is taken off is under
    none. The farmers here prove nothing: when an order is over and they have lapsed, it is closed."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one.bin").write_bytes(bytes(range(256)) * 500)
    market = town.devnet.chain
    grid = market.parameters.grid_epochs
    secret = DriveSecret.from_phrase(town.config.identity.secret, 0)
    async with (
        Renter.open(town.config, policy=CALM) as renter,
        DriveSession.open(renter, town.config.home, secret) as drive,
    ):
        state = (await drive.sync(is_new=True)).state
        policy = policy_records(
            state, KeepPolicy(mandate_epochs=6 * grid, mandate_fee=7), seconds=1, gone_until=Epoch(0)
        )
        after = await drive.relies_after()
        async with drive.writing(CODE, device="laptop") as writer:
            result = await in_thread(lambda: scan(drive, writer, folder, after, state))
            await writer.publish([*result.records, *policy], relied_on=result.relied_on)
        await renter.deposit(10**18)
        report = await keep_run(drive, town.config.home).step()
        assert report.failures == ()
        assert [type(one) for one in report.plan.actions if isinstance(one, GiveMandate)] == [GiveMandate]
        look = report.look
        [pack] = (await keep_run(drive, town.config.home).plan())[1].view.packs
        given = await market.mandate(town.config.identity.account, pack.mandate)
        assert given is not None
        assert (pack.mandate, given.fee, given.until) == (1, 7, pack.mandate_until)
        assert pack.mandate_until >= look.view.epoch + 6 * grid
        assert pack.mandate_cost > 0
        assert (await keep_run(drive, town.config.home).step()).done == (), "it is not given again"

        await DriveKeeper(drive, name="main").take_off_mandate([pack.order])
        known = await find_known_order(market, pack.order)
        assert known is not None
        assert known.mandate == NO_MANDATE

        await town.devnet.mine_to_epoch(Epoch(pack.end + 2))
        vault = await market.vault(town.config.identity.account)
        report = await keep_run(drive, town.config.home).step()
        closes = [one for one in report.plan.actions if isinstance(one, Close)]
        assert [one.order for one in closes] == [pack.order]
        assert (await market.vault(town.config.identity.account)) - vault >= closes[0].refund > 0
        assert report.look.view.packs[0].is_needed
        assert not report.is_kept, "what is over and needed is told"
