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
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from rich.console import Console

from grange.cli.exit_codes import ExitCode
from grange.tasks import together
from grange.types import EXTENDED, Address, Epoch
from grange.units import LEAF_BYTES, format_count
from grange_client.keys.recovery_phrase import new_phrase
from grange_devnet.devnet import DEVNET_PARAMETERS, Devnet
from grange_devnet.errors import DevnetError
from grange_devnet.fleet import FarmerProcess, Fleet
from stories import tale
from stories.commands import Ran, run_farm, run_renter
from stories.compare import differences
from stories.days import Days
from stories.gas import market_transactions
from stories.stage import table
from stories.tale import MAX_DIFFERENCES_SHOWN, MIB, Setting, Tale, count_sent, renter_config
from stories.year_bill import RentedOrder, YearBill, rented_orders, year_bill
from stories.year_folder import Folder

MONTH_DAYS: Final = 6
MONTHS: Final = 12
YEAR_DAYS: Final = MONTHS * MONTH_DAYS
PARAMETERS: Final = replace(DEVNET_PARAMETERS, epoch_blocks=40, grid_epochs=MONTH_DAYS)
"""As on other devnets, but a month of six epochs, and epochs with room for what a day's commands send."""
AWAY_DAYS: Final = range(42, 54)
"""Two months in which no program of the renter runs: months 8 and 9."""
BACKUPS: Final = YEAR_DAYS - len(AWAY_DAYS)
FARMERS: Final = 6
REPAIRERS: Final = 2
K, N = 2, 4
KEPT_VERSIONS: Final = 30
TERM_DAYS: Final = 3 * MONTH_DAYS
MANDATE_DAYS: Final = 6 * MONTH_DAYS
FEE_TOKENS: Final = "0.001"
SEED: Final = 15
DRIVE: Final = "main:"
DEVICE: Final = "laptop"
KILLED_DAYS: Final = (14, 44)
NEW_DAYS: Final = (18, 32, 56)
LEAVING_DAY: Final = 28
DELETED_DAY: Final = 58
"""On which the note of an earlier day is deleted, unseen."""
RESTORED_DAYS: Final = (31, 41, YEAR_DAYS - 1)
"""The first lies before the middle of the backups, the second is the last one before nobody was there."""
NOTE_DAY: Final = 41
AWAY_SECONDS: Final = 20.0
"""So long repairers have on a day on which nobody else extends anything."""
MAX_RATIO: Final = 2.0
KEEP_WORDS: Final = ("keep", "--once", "--json")


@dataclass(slots=True, kw_only=True)
class Outcome(tale.Outcome):
    """What happened, and whether it is what should happen."""

    backups: int = 0
    restored: dict[int, bool] = field(default_factory=dict)
    """By day, whether that day's version came back as it was."""
    is_note_back: bool = False
    sent_bytes: int = 0
    """Content of all packs, those that `keep` wrote again too, without what the code adds."""
    total_bytes: int = 0
    """Of the folder on all days on which it was backed up, together."""
    orders_live: int = 0
    orders: int = 0
    extended_by_mandate: int = 0
    sent_while_away: int = 0
    """Transactions of the renter's account in the two months in which it was away."""
    killed: tuple[int, ...] = ()
    left: int = 0
    arrived: tuple[int, ...] = ()
    keep_problems: int = 0
    """Days on which `keep` said that something may not be kept."""
    missed: int = 0
    """Epochs that a farmer did not prove though it ran: the machine was too slow."""
    gas: int = 0
    """Of the renter, in all; what it is worth is another matter on every chain."""
    bill: YearBill | None = None

    @property
    def cost_ratio(self) -> float:
        """By all that was paid, rounded up."""
        return float("inf") if self.bill is None else self.bill.paid_ratio

    @property
    def claims(self) -> dict[str, bool]:
        """What the story claims, and whether it was true."""
        return {
            f"it was backed up on {BACKUPS} days": self.backups == BACKUPS,
            "each version came back as it was": self.identical and len(self.restored) == len(RESTORED_DAYS),
            "the deleted note came back": self.is_note_back,
            "by mandate it lived on while nobody was there": (
                self.extended_by_mandate > 0 == self.sent_while_away
            ),
            "farmers came and went": bool(self.killed and self.left and self.arrived),
            f"it cost less than {MAX_RATIO:.1f} times one copy": self.cost_ratio < MAX_RATIO,
        }

    def as_json(self) -> dict[str, object]:
        """The one line that --json prints; amounts in token base units, farmers by id."""
        bill = self.bill
        return {
            "identical": self.identical and self.is_note_back,
            "versions_restored": sum(self.restored.values()),
            "bytes_sent": self.sent_bytes,
            "bytes_total": self.total_bytes,
            "orders_live": self.orders_live,
            "cost_ratio": round(self.cost_ratio, 3),
            "cost_ratio_of_used_epochs": None if bill is None else round(bill.used_ratio, 3),
            "paid": None if bill is None else str(bill.paid),
            "paid_beyond_the_year": None if bill is None else str(bill.beyond),
            "fees": None if bill is None else str(bill.fees),
            "one_copy": None if bill is None else str(bill.one_copy),
            "gas": self.gas,
            "backups": self.backups,
            "orders": self.orders,
            "extended_by_mandate": self.extended_by_mandate,
            "sent_while_away": self.sent_while_away,
            "killed": list(self.killed),
            "left": self.left,
            "arrived": list(self.arrived),
            "keep_problems": self.keep_problems,
            "missed": self.missed,
            "files": self.files,
            "bytes": self.size_bytes,
            "seconds": self.seconds,
        }


class Year(Tale[Outcome]):
    """One telling of the story."""

    def __init__(self, setting: Setting, console: Console) -> None:
        super().__init__(setting, console, Outcome())
        self._home = setting.folder / "renter"
        self._copies = setting.folder / "copies"
        """The folder as it was on the days of which a version is restored."""
        self._fleets: list[Fleet] = []
        self._leaving: FarmerProcess | None = None
        self._versions: dict[int, str] = {}
        """Of some days, the commit that was made."""
        self._seconds: dict[str, float] = {}
        """What went by in commands, by their names, and in waiting."""
        self._account = Address("")
        self._folder = Folder(path=Path(), seed=SEED)
        self._money = 0
        self._one_copy = 0

    async def play(self) -> Outcome:
        """Tell it, and say what came of it."""
        stage, outcome = self._stage, self._outcome
        stage.console.print(
            "[bold]Grange[/]: a folder is backed up for a year, and nobody looks after it.", highlight=False
        )
        async with AsyncExitStack() as stack:
            devnet = await self._start_chain(stack)
            fleet, _ = await self._start_people(stack, devnet, farmers=FARMERS, repairers=REPAIRERS)
            self._fleets.append(fleet)
            phrase = new_phrase()
            first = await self._begin_year(devnet, phrase)
            await self._live(stack, devnet, first)
            await self._make_out_bill(devnet, first)
            await self._bring_back(devnet, phrase)
        outcome.identical = bool(outcome.restored) and all(outcome.restored.values())
        ended = self._conclude()
        ended.seconds |= {name: round(seconds, 2) for name, seconds in self._seconds.items()}
        return ended

    async def _start_chain(self, stack: AsyncExitStack) -> Devnet:
        stage = self._stage
        with stage.step("devnet", self._setting.heading):
            opened = self._setting.devnet(parameters=PARAMETERS, block_seconds=None)
            devnet = await stack.enter_async_context(opened)
            stage.say(f"market  {devnet.market} on {devnet.rpc_url}; blocks come when they are asked for")
            stage.say(
                f"rules   a day is an epoch of {PARAMETERS.epoch_blocks} blocks, and a month has "
                f"{MONTH_DAYS} of them; orders end as a month ends, at most {MONTHS} months ahead"
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
            first = Epoch(((await chain.head()).epoch // MONTH_DAYS + 1) * MONTH_DAYS)
            await devnet.mine_to_epoch(first)
            self._money = await self._money_of(devnet)
            quote = await self._grange(
                *("put", self._folder.path, "--dry-run", "--json", "--k", K, "--n", N),
                *("--until", first + YEAR_DAYS),
            )
            self._one_copy = int(quote.json["cost"])
            unit = chain.unit
            stage.say(
                f"A folder of {self._folder.size_bytes / MIB:.1f} MiB, {K} of {N}. Kept for the year as one "
                f"order it costs {unit.rounded_up(self._one_copy)}."
            )
            policy = (
                *("policy", DRIVE, "--keep-last", KEPT_VERSIONS, "--code", f"{K}/{N}"),
                *("--term-epochs", TERM_DAYS, "--mandate-epochs", MANDATE_DAYS),
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
    def _put_words(self) -> tuple[object, ...]:
        return "put", self._folder.path, DRIVE, "--k", K, "--n", N, "--epochs", TERM_DAYS, "--yes", "--json"

    async def _money_of(self, devnet: Devnet) -> int:
        """What the account has, in its wallet and in the market."""
        chain = devnet.chain
        return sum(
            await together(
                chain.token_balance(self._account), chain.vault(self._account), chain.earnings(self._account)
            )
        )

    async def _grange(self, *words: object, accepts: tuple[int, ...] = (0,)) -> Ran:
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
        """What cron does on a day. The first version is made by hand, and no other."""
        outcome = self._outcome
        made = await self._grange(*self._put_words)
        outcome.backups += 1
        outcome.total_bytes += self._folder.size_bytes
        if day in RESTORED_DAYS:
            self._versions[day] = made.json["commit"]
            await asyncio.to_thread(
                shutil.copytree,
                self._folder.path,
                self._copies / str(day) / self._folder.path.name,
                symlinks=True,
            )
        kept = await self._grange(*KEEP_WORDS, accepts=(0, ExitCode.ENDS_SOON))
        for report in kept.json:
            if not report["is_kept"]:
                outcome.keep_problems += 1
                self._stage.say(f"[yellow]day {day}: {report}")

    # The year.

    async def _live(self, stack: AsyncExitStack, devnet: Devnet, first: Epoch) -> None:
        stage, outcome = self._stage, self._outcome
        days = Days(devnet=devnet, farmers=self._farmers)
        with stage.step("year", f"{YEAR_DAYS} days, {BACKUPS} of them with a backup"):
            for day in range(YEAR_DAYS):
                epoch = Epoch(first + day)
                await days.begin(epoch)
                if day == AWAY_DAYS.start:
                    before = await count_sent(devnet.chain, self._account)
                if day == AWAY_DAYS.stop:
                    outcome.sent_while_away = await count_sent(devnet.chain, self._account) - before
                await self._change_farmers(stack, devnet, day)
                if day not in AWAY_DAYS:
                    self._change_folder(day)
                with self._timed("away" if day in AWAY_DAYS else "proofs"):
                    await days.end(
                        epoch,
                        is_done=lambda: self._is_extended(devnet),
                        patience_seconds=AWAY_SECONDS if day in AWAY_DAYS else 0.0,
                    )
                if day not in AWAY_DAYS:
                    # Cron's hour is later than the first of a day: by then farmers have seen it.
                    await self._run_crontab(day)
                if (day + 1) % MONTH_DAYS == 0:
                    await self._say_month(devnet, day, epoch)
            await days.begin(Epoch(first + YEAR_DAYS))
            outcome.missed = len(days.late)

    def _change_folder(self, day: int) -> None:
        if day:
            self._folder.live_a_day(day)
        if day == DELETED_DAY:
            (self._folder.path / self._folder.note_of(NOTE_DAY)).unlink()

    async def _say_month(self, devnet: Devnet, day: int, epoch: Epoch) -> None:
        orders = await self._orders(devnet)
        live = sum(one.end > epoch + 1 for one in orders)
        spent = self._money - await self._money_of(devnet)
        farmers = sum(one.running for one in self._farmers())
        who = "nobody was there" if day in AWAY_DAYS else f"{self._outcome.backups} backups so far"
        self._stage.say(
            f"month {(day + 1) // MONTH_DAYS:>2}: {who}, {format_count(live, 'order')} live, "
            f"{format_count(farmers, 'farmer')}, paid {spent / self._one_copy:.2f} of one copy's year"
        )

    async def _is_extended(self, devnet: Devnet) -> bool:
        """Whether repairers have extended all that a mandate covers and that is due."""
        chain = devnet.chain
        epoch = (await chain.head()).epoch
        due = [one.id for one in await self._orders(devnet) if epoch < one.end <= epoch + MONTH_DAYS]
        shown = await together(*(chain.order(one) for one in due))
        return all(one is None or one.mandate in (0, EXTENDED) for one in shown)

    async def _orders(self, devnet: Devnet) -> list[RentedOrder]:
        head = (await devnet.chain.head()).number
        names = ["OrderPlaced", "OrderExtended", "SlotFilled"]
        return rented_orders(await devnet.chain.logs(0, head, names), leaf_bytes=LEAF_BYTES)

    # Farmers.

    def _farmers(self) -> list[FarmerProcess]:
        return [one for fleet in self._fleets for one in fleet.farmers]

    async def _change_farmers(self, stack: AsyncExitStack, devnet: Devnet, day: int) -> None:
        """Who comes and goes on a day."""
        stage, outcome = self._stage, self._outcome
        if day in KILLED_DAYS:
            farmer = await self._busiest(devnet)
            await farmer.kill()
            outcome.killed += (farmer.farmer,)
            stage.say(f"[yellow]day {day}: farmer {farmer.farmer} vanishes, with all that it kept")
        if day in NEW_DAYS:
            folder = self._setting.folder / f"newcomer-{day}"
            self._fleets.append(await stack.enter_async_context(Fleet.start(devnet, 1, folder)))
            [farmer] = self._fleets[-1].farmers
            outcome.arrived += (farmer.farmer,)
            stage.say(f"day {day}: farmer {farmer.farmer} is new")
        if day == LEAVING_DAY:
            self._leaving = await self._busiest(devnet)
        if self._leaving is not None:
            await self._leave(devnet, self._leaving, day)

    async def _busiest(self, devnet: Devnet) -> FarmerProcess:
        """The farmer that keeps most."""
        running = [one for one in self._farmers() if one.running]
        shown = await together(*(devnet.chain.farmer(one.farmer) for one in running))
        rates = {one.id: one.committed_rate for one in shown}
        return max(running, key=lambda one: (rates[one.farmer], one.farmer))

    async def _leave(self, devnet: Devnet, farmer: FarmerProcess, day: int) -> None:
        """Hand over what it keeps, a few slots of an order in a month, until nothing is left."""
        if (await devnet.chain.farmer(farmer.farmer)).committed_rate:
            with suppress(DevnetError):
                await run_farm(farmer, "hand-over", "--all", "--yes")
            return
        await farmer.stop()
        self._leaving, self._outcome.left = None, farmer.farmer
        self._stage.say(f"day {day}: farmer {farmer.farmer} has handed over all that it kept, and leaves")

    # The end.

    async def _make_out_bill(self, devnet: Devnet, first: Epoch) -> None:
        stage, outcome, chain = self._stage, self._outcome, devnet.chain
        end = Epoch(first + YEAR_DAYS)
        with stage.step("bill", "What the year cost"):
            orders = await self._orders(devnet)
            head = (await chain.head()).number
            extended = await chain.logs(0, head, ["ExtendedByMandate"])
            outcome.extended_by_mandate = len(extended)
            outcome.orders = len(orders)
            outcome.orders_live = sum(one.end > end for one in orders)
            outcome.sent_bytes = sum(K * one.slot_bytes for one in orders if not one.is_extension)
            sent = await market_transactions(chain, first * PARAMETERS.epoch_blocks, head)
            mine = [one for one in sent if one.sender.lower() == self._account.lower()]
            outcome.gas = sum(one.gas for one in mine)
            bill = outcome.bill = year_bill(
                orders,
                until=end,
                one_copy=self._one_copy,
                paid=self._money - await self._money_of(devnet),
                fees=len(extended) * chain.unit.parse(FEE_TOKENS),
            )
            rows = [
                ("one copy of the folder, for the year", bill.one_copy),
                ("all that was paid", bill.paid),
                ("  of that, for the time after the year", bill.beyond),
                ("  of that, fees of extensions by mandate", bill.fees),
            ]
            stage.console.print(
                table("", ">tokens", ">of one copy", rows=[
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
                back, copy = self._setting.folder / f"back-{day}", self._copies / str(day)
                await self._grange("get", f"{DRIVE}/", back, "--at", version, "--yes", "--json")
                found = await asyncio.to_thread(differences, copy / name, back / name)
                outcome.restored[day] = not found
                for line in found[:MAX_DIFFERENCES_SHOWN]:
                    stage.say(f"[red]{line}")
                if not found:
                    stage.say(f"The version of day {day} is the same, byte for byte.")
            note = Path(name) / self._folder.note_of(NOTE_DAY)
            back = self._setting.folder / "note"
            await self._grange(
                "get", f"{DRIVE}/{note}", back, "--at", self._versions[NOTE_DAY], "--yes", "--json"
            )
            wanted = self._copies / str(NOTE_DAY) / note
            outcome.is_note_back = (back / note.name).read_bytes() == wanted.read_bytes()
            outcome.files = sum(1 for _ in self._folder.files())
            outcome.size_bytes = self._folder.size_bytes
            if outcome.is_note_back:
                stage.say(f"The note that was deleted on day {DELETED_DAY} is back.")
