"""The fourth story: a folder that is backed up for a year, and nobody looks after it.

On the first day somebody says how the drive is kept, with a mandate, and puts two lines into a crontab: `put`
each day, and `keep --once`. Nothing else is ever typed. A day of work is an epoch, and a month is a grid
period of six: sixty days on which the folder is backed up, and two months in between in which nothing of the
renter's runs at all. Meanwhile farmers come and go: two are killed for good, one of them while nobody is
there, one hands over what it keeps and leaves, three are new. At the end a computer that has only the
recovery phrase brings back three versions and a note that was deleted, and the bill is made out.

Nothing is played: these are the devnet, the nodes, the repairers and the command `grange`, each a process.
Only time is hurried. Versions have the dates of the minutes in which the story is told, so they are kept by
their number and not by days.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from grange.tasks import together
from grange.types import EXTENDED, Address, Epoch
from grange.units import LEAF_BYTES, format_count
from grange_client.keys.recovery_phrase import new_phrase
from grange_devnet.devnet import Devnet
from stories.commands import Ran, run_renter
from stories.compare import differences
from stories.days import Days
from stories.gas import market_transactions
from stories.stage import table
from stories.tale import MAX_DIFFERENCES_SHOWN, MIB, Setting, Tale, count_sent, renter_config
from stories.year_bill import RentedOrder, rented_orders, year_bill
from stories.year_farmers import YearFarmers
from stories.year_folder import Folder
from stories.year_outcome import YearOutcome
from stories.year_timetable import YEAR, Timetable

FARMERS: Final = 6
REPAIRERS: Final = 2
K, N = 2, 4
FEE_TOKENS: Final = "0.001"
SEED: Final = 15
DRIVE: Final = "main:"
AWAY_SECONDS: Final = 20.0
"""So long repairers have on a day on which nobody else extends anything."""
KEEP_WORDS: Final = ("keep", "--once", "--json")
ANY_CODE: Final = range(256)


class Year(Tale[YearOutcome]):
    """One telling of the story."""

    def __init__(self, setting: Setting, console: Console, timetable: Timetable = YEAR) -> None:
        super().__init__(setting, console, YearOutcome(timetable=timetable))
        self._when = timetable
        self._home = setting.folder / "renter"
        self._versions: dict[int, str] = {}
        """Of some days, the commit that was made."""
        self._seconds: dict[str, float] = {}
        """What went by in commands, by their names, and in waiting."""
        self._account = Address("")
        self._folder = Folder(path=Path(), seed=SEED)
        self._money = 0
        self._one_copy = 0

    async def play(self) -> YearOutcome:
        """Tell it, and say what came of it."""
        stage, outcome = self._stage, self._outcome
        stage.console.print(
            "[bold]Grange[/]: a folder is backed up for a year, and nobody looks after it.", highlight=False
        )
        async with AsyncExitStack() as stack:
            devnet = await self._start_chain(stack)
            fleet, _ = await self._start_people(stack, devnet, farmers=FARMERS, repairers=REPAIRERS)
            farmers = YearFarmers(fleet, devnet, stack, stage, when=self._when)
            phrase = new_phrase()
            first = await self._begin_year(devnet, phrase)
            await self._live(devnet, farmers, first)
            await self._make_out_bill(devnet, first)
            await self._bring_back(devnet, phrase)
        outcome.identical = bool(outcome.restored) and all(outcome.restored.values())
        ended = self._conclude()
        ended.seconds |= {name: round(seconds, 2) for name, seconds in self._seconds.items()}
        return ended

    async def _start_chain(self, stack: AsyncExitStack) -> Devnet:
        stage = self._stage
        with stage.step("devnet", self._setting.heading):
            parameters = self._when.parameters
            opened = self._setting.devnet(parameters=parameters, block_seconds=None)
            devnet = await stack.enter_async_context(opened)
            stage.say(f"market  {devnet.market} on {devnet.rpc_url}; blocks come when they are asked for")
            stage.say(
                f"rules   a day is an epoch of {parameters.epoch_blocks} blocks, and a month has "
                f"{parameters.grid_epochs} of them; orders end as a month ends, at most "
                f"{parameters.max_books} months ahead"
            )
        return devnet

    # The renter.

    async def _begin_year(self, devnet: Devnet, phrase: str) -> Epoch:
        """What is typed, all of it; gives the year's first epoch."""
        stage, chain = self._stage, devnet.chain
        with stage.step("first_day", "The first day: all that is ever typed"):
            config = await self._rich_renter(phrase, devnet)
            self._account = config.identity.wallet.address
            self._folder = self._make_folder()
            month = self._when.month_days
            first = Epoch(((await chain.head()).epoch // month + 1) * month)
            await devnet.mine_to_epoch(first)
            self._money = await self._money_of(devnet)
            quote = await self._grange(
                *("orders", "put", self._folder.path, "--dry-run", "--json", "--k", K, "--n", N),
                *("--until", first + self._when.days),
            )
            self._one_copy = int(quote.json["cost"])
            unit = chain.unit
            stage.say(
                f"A folder of {self._folder.size_bytes / MIB:.1f} MiB, {K} of {N}. Kept for the year as one "
                f"order it costs {unit.rounded_up(self._one_copy)}."
            )
            policy = (
                *("policy", DRIVE, "--keep-last", self._when.kept_versions, "--code", f"{K}/{N}"),
                *("--term-epochs", self._term_epochs),
                *("--mandate-epochs", self._when.mandate_months * month),
                *("--mandate-fee", FEE_TOKENS, "--yes"),
            )
            stage.say(f"[green]$[/] grange {' '.join(map(str, policy))}")
            await self._grange(*policy)
            for line in (self._put_words, KEEP_WORDS):
                stage.say(
                    f"[green]crontab:[/] grange {' '.join(map(str, line))}",
                )
        return first

    def _make_folder(self) -> Folder:
        path = self._setting.folder / "folder"
        if self._setting.directory is None:
            return Folder.begin(path, seed=SEED)
        shutil.copytree(self._setting.directory, path, symlinks=True)
        return Folder(path=path, seed=SEED)

    @property
    def _term_epochs(self) -> int:
        return self._when.term_months * self._when.month_days

    @property
    def _put_words(self) -> tuple[object, ...]:
        return "put", self._folder.path, DRIVE, "--yes", "--json"

    async def _money_of(self, devnet: Devnet) -> int:
        """What the account has, in its wallet and in the market."""
        chain = devnet.chain
        return sum(
            await together(
                chain.token_balance(self._account), chain.vault(self._account), chain.earnings(self._account)
            )
        )

    async def _grange(self, *words: object, accepts: Collection[int] = (0,)) -> Ran:
        """A command of the renter's."""
        with self._timed(str(words[0])):
            return await run_renter(self._home, *words, accepts=accepts)

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[what] = self._seconds.get(what, 0.0) + time.monotonic() - began

    async def _run_crontab(self, day: int) -> None:
        """What cron does on a day. What fails is tried again on the next one, and said here."""
        outcome = self._outcome
        made = await self._grange(*self._put_words, accepts=ANY_CODE)
        if made.code:
            self._stage.say(f"[red]day {day}: no backup was made: {made.err.strip()}")
        else:
            outcome.backups += 1
            outcome.total_bytes += self._folder.size_bytes
            if day in self._when.restored:
                self._versions[day] = made.json["commit"]
                await asyncio.to_thread(shutil.copytree, self._folder.path, self._copy(day), symlinks=True)
        kept = await self._grange(*KEEP_WORDS, accepts=ANY_CODE)
        failed = {"is_kept": False, "error": kept.err.strip(), "failures": ()}
        reports: list[dict[str, Any]] = kept.json if kept.out.strip() else [failed]
        for report in reports:
            if not report["is_kept"]:
                outcome.keep_problems += 1
                said = report["error"] or "; ".join(report["failures"]) or "something ends soon"
                self._stage.say(f"[yellow]day {day}: keep says: {said}")

    def _copy(self, day: int) -> Path:
        """Where the folder is as it was on a day of which a version is restored."""
        return self._setting.folder / "copies" / str(day) / self._folder.path.name

    # The year.

    async def _live(self, devnet: Devnet, farmers: YearFarmers, first: Epoch) -> None:
        stage, outcome, when = self._stage, self._outcome, self._when
        days = Days(devnet=devnet, farmers=farmers.all)
        with stage.step("year", f"{when.days} days, {when.backups} of them with a backup"):
            for day in range(when.days):
                epoch = Epoch(first + day)
                await days.begin(epoch)
                if day == when.away.start:
                    before = await count_sent(devnet.chain, self._account)
                if day == when.away.stop:
                    outcome.sent_while_away = await count_sent(devnet.chain, self._account) - before
                await farmers.live_a_day(day)
                if day not in when.away:
                    self._change_folder(day)
                with self._timed("away" if day in when.away else "proofs"):
                    await days.end(
                        epoch,
                        is_done=lambda: self._is_extended(devnet),
                        patience_seconds=AWAY_SECONDS if day in when.away else 0.0,
                    )
                if day not in when.away:
                    # Cron's hour is later than the first of a day: by then farmers have seen it.
                    await self._run_crontab(day)
                if (day + 1) % when.month_days == 0:
                    await self._say_month(devnet, farmers, day)
            await days.begin(Epoch(first + when.days))
        outcome.missed = len(days.late)
        outcome.killed, outcome.arrived = tuple(farmers.killed), tuple(farmers.arrived)
        outcome.left = tuple(farmers.left)

    def _change_folder(self, day: int) -> None:
        if day:
            self._folder.live_a_day(day)
        if day == self._when.deleted:
            (self._folder.path / self._folder.note_of(self._when.note)).unlink()

    async def _say_month(self, devnet: Devnet, farmers: YearFarmers, day: int) -> None:
        when, epoch = self._when, (await devnet.chain.head()).epoch
        live = sum(one.end > epoch + 1 for one in await self._orders(devnet))
        spent = self._money - await self._money_of(devnet)
        who = "nobody was there" if day in when.away else f"{self._outcome.backups} backups so far"
        self._stage.say(
            f"month {(day + 1) // when.month_days:>2}: {who}, {format_count(live, 'order')} live, "
            f"{format_count(len(farmers.running), 'farmer')}; paid: {spent / self._one_copy:.2f} of one copy"
        )

    async def _is_extended(self, devnet: Devnet) -> bool:
        """Whether repairers have extended all that a mandate covers and that is due."""
        chain = devnet.chain
        epoch = (await chain.head()).epoch
        due = [one.id for one in await self._orders(devnet) if 0 < one.end - epoch <= self._when.month_days]
        shown = await together(*(chain.order(one) for one in due))
        return all(one is None or one.mandate in (0, EXTENDED) for one in shown)

    async def _orders(self, devnet: Devnet) -> list[RentedOrder]:
        head = (await devnet.chain.head()).number
        names = ["OrderPlaced", "OrderExtended", "SlotFilled"]
        return rented_orders(await devnet.chain.logs(0, head, names), leaf_bytes=LEAF_BYTES)

    # The end.

    async def _make_out_bill(self, devnet: Devnet, first: Epoch) -> None:
        stage, outcome, chain = self._stage, self._outcome, devnet.chain
        end = Epoch(first + self._when.days)
        with stage.step("bill", "What the year cost"):
            orders = await self._orders(devnet)
            head = (await chain.head()).number
            extended = await chain.logs(0, head, ["ExtendedByMandate"])
            outcome.extended_by_mandate = len(extended)
            outcome.orders = len(orders)
            outcome.orders_live = sum(one.end > end for one in orders)
            outcome.sent_bytes = sum(K * one.slot_bytes for one in orders if not one.is_extension)
            sent = await market_transactions(chain, first * chain.parameters.epoch_blocks, head)
            mine = [one for one in sent if one.sender.lower() == self._account.lower()]
            outcome.gas = sum(one.gas for one in mine)
            bill = outcome.bill = year_bill(
                orders,
                until=end,
                one_copy=self._one_copy,
                fees=len(extended) * chain.unit.parse(FEE_TOKENS),
                spent=self._money - await self._money_of(devnet),
            )
            rows = [
                ("one copy of the folder, for the year", bill.one_copy),
                ("all that was paid", bill.paid),
                ("  of that, beyond the year", bill.beyond),
                ("  of that, fees of mandates", bill.fees),
                ("came back from farmers that failed", bill.returned),
            ]
            stage.console.print(
                table("", ">tokens", ">copies", rows=[
                    (what, chain.unit.rounded_up(amount), f"{amount / bill.one_copy:.2f}")
                    for what, amount in rows
                ])
            )  # fmt: skip
            stage.say(
                f"{format_count(len(mine), 'transaction')} of the renter took "
                f"{outcome.gas / 1e6:.1f} million gas besides."
            )
            stage.say(
                f"{outcome.sent_bytes / MIB:.1f} MiB were sent for {outcome.backups} versions of "
                f"{outcome.total_bytes / MIB:.0f} MiB together."
            )

    async def _bring_back(self, devnet: Devnet, phrase: str) -> None:
        """By a computer that has nothing but the recovery phrase."""
        stage, outcome, name = self._stage, self._outcome, self._folder.path.name
        self._home = self._second_home
        renter_config(self._home, phrase, devnet)
        with stage.step(
            "restore", "Another computer, which has only the recovery phrase, brings versions back"
        ):
            for day, version in sorted(self._versions.items()):
                place, back = f"{DRIVE}/day-{day}", self._setting.folder / "back"
                await self._grange(
                    "restore", f"{DRIVE}/{name}", "--at", version, "--to", place, "--yes", "--json"
                )
                await self._grange("get", place, back, "--yes", "--json")
                found = await asyncio.to_thread(differences, self._copy(day), back / f"day-{day}")
                outcome.restored[day] = not found
                for line in found[:MAX_DIFFERENCES_SHOWN]:
                    stage.say(f"[red]{line}")
                if not found:
                    stage.say(f"The version of day {day} is the same, byte for byte.")
            outcome.is_note_back = await self._bring_note_back()
            outcome.files = sum(1 for _ in self._folder.files())
            outcome.size_bytes = self._folder.size_bytes

    async def _bring_note_back(self) -> bool:
        """The note that was deleted, out of the version of the day on which it was written, and onto disk."""
        when, note = self._when, self._folder.note_of(self._when.note)
        if when.note not in self._versions:
            return False
        back = self._setting.folder / "note"
        place = f"{DRIVE}/{self._folder.path.name}/{note}"
        await self._grange("restore", place, "--at", self._versions[when.note], "--yes", "--json")
        await self._grange("get", place, back, "--yes", "--json")
        is_same = (back / note.name).read_bytes() == (self._copy(when.note) / note).read_bytes()
        if is_same:
            self._stage.say(f"The note that was deleted on day {when.deleted} is in the drive again.")
        return is_same
