"""A backup that is under way while its pack goes: pitfalls that lost others' data, one by one."""

from client.keep.paper_market import Backup, PaperDevice, PaperMarket
from client.keep.test_keep_together import CHUNKS, POLICY, keep_all, run

from grange.types import OrderId


def drive_before_repacking() -> tuple[PaperMarket, PaperDevice, PaperDevice, OrderId]:
    """The first pack is garbage but for one chunk, and is due in a moment."""
    market = PaperMarket()
    laptop, desktop = (PaperDevice(market, name, policy=POLICY) for name in ("laptop", "desktop"))
    run(laptop.back_up("first", CHUNKS))
    (pack,) = market.packs
    for day in (1, 2, 3):
        market.epoch = day
        run(laptop.back_up(f"day {day}", CHUNKS[:1]))
    market.epoch = 14
    assert market.packs[pack].end == 18
    return market, laptop, desktop, pack


def begin(laptop: PaperDevice) -> Backup:
    backup = laptop.begin_backup("late", CHUNKS[:3])
    run(laptop.check_backup(backup))
    assert not backup.stored, "all of it is in a pack that one may rely on"
    return backup


def test_a_backup_that_relied_on_a_pack_before_it_was_retired_loses_nothing() -> None:
    market, laptop, desktop, pack = drive_before_repacking()
    backup = begin(laptop)
    run(keep_all(desktop))
    assert pack in market.truth().retired
    assert laptop.publish(backup), "it had looked, and is in time"
    for epoch in range(15, 60):
        market.epoch = epoch
        run(keep_all(desktop))
        assert market.needed(market.truth().live_commits) <= market.readable()
    assert market.packs[pack].end == 18, "it was not extended for it: its chunks were copied"


def test_an_author_that_slept_looks_again_and_stores_again_what_is_about_to_go() -> None:
    market, laptop, desktop, pack = drive_before_repacking()
    backup = begin(laptop)
    run(keep_all(desktop))
    market.epoch = 16
    assert not laptop.publish(backup), "its acceptances are over"
    run(laptop.check_backup(backup))
    assert backup.stored == set(CHUNKS[1:3]), "the first one was copied, these are in a retired pack alone"
    assert laptop.publish(backup)
    market.epoch = 18
    assert market.needed(market.truth().live_commits) <= market.readable()
    assert market.packs[pack].end == 18
