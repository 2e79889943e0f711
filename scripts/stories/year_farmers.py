"""The farmers of the year's story: some vanish, one leaves in good order, others are new."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from pathlib import Path

from grange.tasks import together
from grange.types import FarmerId
from grange_devnet.devnet import Devnet
from grange_devnet.errors import DevnetError
from grange_devnet.fleet import FarmerProcess, Fleet
from stories.commands import run_farm
from stories.stage import Stage
from stories.year_timetable import Timetable


class YearFarmers:
    """All farmers that there ever were."""

    def __init__(
        self, fleet: Fleet, devnet: Devnet, stack: AsyncExitStack, stage: Stage, *, when: Timetable
    ) -> None:
        """Who arrives runs until `stack` is left, with its things beside those of the others."""
        self._fleets = [fleet]
        self._devnet = devnet
        self._stack = stack
        self._stage = stage
        self._when = when
        self._leaving: FarmerProcess | None = None
        self.killed: list[FarmerId] = []
        self.arrived: list[FarmerId] = []
        self.left: list[FarmerId] = []

    def all(self) -> list[FarmerProcess]:
        """Those that run no more, too."""
        return [one for fleet in self._fleets for one in fleet.farmers]

    @property
    def _place(self) -> Path:
        return self._fleets[0].farmers[0].folder.parent

    @property
    def running(self) -> list[FarmerProcess]:
        """Those that are there."""
        return [one for one in self.all() if one.running]

    async def live_a_day(self, day: int) -> None:
        """Who comes and goes on a day."""
        if day in self._when.killed:
            farmer = await self._busiest()
            await farmer.kill()
            self.killed.append(farmer.farmer)
            self._stage.say(f"[yellow]day {day}: farmer {farmer.farmer} vanishes, with all that it kept")
        if day in self._when.arriving:
            arriving = Fleet.start(self._devnet, 1, self._place / f"of-day-{day}")
            self._fleets.append(await self._stack.enter_async_context(arriving))
            [farmer] = self._fleets[-1].farmers
            self.arrived.append(farmer.farmer)
            self._stage.say(f"day {day}: farmer {farmer.farmer} is new")
        if day == self._when.leaving:
            self._leaving = await self._busiest()
        if self._leaving is not None:
            await self._leave(self._leaving, day)

    async def _busiest(self) -> FarmerProcess:
        """The farmer that keeps most."""
        shown = await together(*(self._devnet.chain.farmer(one.farmer) for one in self.running))
        rates = {one.id: one.committed_rate for one in shown}
        return max(self.running, key=lambda one: (rates[one.farmer], one.farmer))

    async def _leave(self, farmer: FarmerProcess, day: int) -> None:
        """Hand over what it keeps, a few slots of an order in a month, until nothing is left."""
        if (await self._devnet.chain.farmer(farmer.farmer)).committed_rate:
            with suppress(DevnetError):
                await run_farm(farmer, "hand-over", "--all", "--yes")
            return
        await farmer.stop()
        self._leaving = None
        self.left.append(farmer.farmer)
        self._stage.say(f"day {day}: farmer {farmer.farmer} has handed over all that it kept, and leaves")
