"""Small things: an object of 1 KiB and 200 of 4 KiB, stored and read by the real client at real farmers.

Decides what is timed and where the clock stops: an object is stored when all n farmers have signed that they
keep it, in a block when its transaction is; its first byte is there when it is in its file. What is read was
stored moments before, so the farmers' disks have it in memory; nothing of it is at the client but what its
catalog knows.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from grange.transfer.events import Progress, ProgressEvent
from grange_client.keys.config import Config
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from speed.ground import open_market
from speed.processes import SCRIPTS, as_installed
from speed.processors import Processors, Rounds
from speed.requests import Asked, counted

OBJECT_BYTES = 1024
MANY_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallOptions:
    """How large it is measured."""

    farmers: int = 30
    k: int = 10
    n: int = 30
    rounds: int = 9
    objects: int = 200
    commands: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A client that runs, and what it works with."""

    options: SmallOptions
    renter: Renter
    config: Config
    processors: Processors
    folder: Path

    @property
    def store_options(self) -> StoreOptions:
        """The code of the orders."""
        return StoreOptions(k=self.options.k, n=self.options.n)

    def write(self, name: str, size_bytes: int) -> Path:
        """A file that nothing can compress."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size_bytes))
        return path


@asynccontextmanager
async def open_ground(options: SmallOptions, folder: Path) -> AsyncIterator[Ground]:
    """A devnet with farmers, and a client that has money and knows them already."""
    async with open_market(options.farmers, folder) as market:
        config = await market.renter(folder / "renter")
        async with Renter.open(config) as renter:
            yield Ground(
                options=options, renter=renter, config=config, processors=market.processors, folder=folder
            )


async def measure_small(options: SmallOptions, folder: Path) -> dict[str, Any]:
    """All of it, against one fleet."""
    async with open_ground(options, folder) as ground:
        # The vault is filled, and farmers and pace of the chain are known, in a client that has run a while.
        await _put(ground, ground.write("first", OBJECT_BYTES), Rounds(), Rounds())
        put, stored = await measure_put(ground)
        return {
            "put_1_kib": put,
            "get_1_kib": await measure_get(ground, stored),
            "command_get_1_kib": await measure_command(ground, stored),
            "many": await measure_many(ground),
            "options": {name: getattr(options, name) for name in options.__slots__},
            "cores": os.cpu_count(),
        }


async def measure_put(ground: Ground) -> tuple[dict[str, Any], list[Stored]]:
    """1 KiB from the first look at the file until n farmers have signed, and until it is in a block."""
    signed, mined, stored = Rounds(), Rounds(), list[Stored]()
    asked: list[Asked] = []
    for number in range(ground.options.rounds):
        path = ground.write(f"object-{number}", OBJECT_BYTES)
        with counted() as now:
            stored.append(await _put(ground, path, signed, mined))
        asked.append(now)
    return {
        "acknowledged": signed.shown(),
        "in_a_block": mined.shown(),
        **max(asked, key=lambda one: one.rpc).shown(),
    }, stored


async def _put(ground: Ground, path: Path, signed: Rounds, mined: Rounds) -> Stored:
    with ground.processors.round(mined):
        with ground.processors.round(signed):
            quote = await ground.renter.quote([path], ground.store_options)
            pending = await ground.renter.store(quote, confirmations=0)
        return await pending.placed()


async def measure_get(ground: Ground, stored: list[Stored]) -> dict[str, Any]:
    """Each object once, until its first byte is on the disk and until all is done."""
    first, whole, asked = Rounds(), Rounds(), list[Asked]()
    for number, one in enumerate(stored):
        target = ground.folder / f"back-{number}"
        watch = _FirstByte()
        with counted() as now, ground.processors.round(first), ground.processors.round(whole):
            await ground.renter.get(one.order, target, watch=watch)
        first.stop_last(seconds=watch.seconds, cpu_seconds=watch.cpu_seconds)
        asked.append(now)
        _check_same(ground.folder / f"object-{number}", target / f"object-{number}")
        shutil.rmtree(target)
    return {
        "first_byte": first.shown_at_stop(),
        "whole": whole.shown(),
        "waits": {
            "chain_ms": _median_ms(one.waited_seconds(for_farmers=False) for one in asked),
            "farmers_ms": _median_ms(one.waited_seconds(for_farmers=True) for one in asked),
        },
        **max(asked, key=lambda one: (one.rpc, one.farmers)).shown(),
    }


def _median_ms(seconds: Iterable[float]) -> float:
    return round(1000 * median(seconds), 2)


async def measure_command(ground: Ground, stored: list[Stored]) -> dict[str, Any]:
    """The same as a command of its own, from its start to its end."""
    counts = ground.folder / "counts.json"
    # The first one may have to compile modules.
    await _run_get(
        ground, stored[0], ground.folder / "command-counted", ["-m", "speed.requests", str(counts)]
    )
    wall, cpu = list[float](), list[float]()
    for number in range(min(ground.options.commands, len(stored))):
        target = ground.folder / f"command-{number}"
        seconds, cpu_seconds = await _run_get(ground, stored[number], target, [])
        wall.append(seconds)
        cpu.append(cpu_seconds)
        _check_same(ground.folder / f"object-{number}", target / f"object-{number}")
    found = json.loads(counts.read_text())
    return {
        "wall_ms": round(1000 * sorted(wall)[len(wall) // 2], 1),
        "least_wall_ms": round(1000 * min(wall), 1),
        "client_cpu_ms": round(1000 * sorted(cpu)[len(cpu) // 2], 1),
        **{name: found[name] for name in ("rpc_requests", "rpc_questions", "farmer_requests")},
    }


async def _run_get(ground: Ground, stored: Stored, target: Path, how: list[str]) -> tuple[float, float]:
    program = [sys.executable, *(how or ["-m", "grange_client"])]
    arguments = [
        "orders",
        "get",
        stored.order.id.hex()[:16],
        str(target),
        "--yes",
        "--home",
        str(ground.config.home),
    ]
    environment = as_installed() | {"PYTHONPATH": SCRIPTS}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *program,
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    seconds = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(f"grange {' '.join(arguments)} ended with {process.returncode}: {said.decode()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def measure_many(ground: Ground) -> dict[str, Any]:
    """Many objects in one order: stored, all read back, and one of the smallest reads out of the middle."""
    count = ground.options.objects
    for number in range(count):
        ground.write(f"many/{number:04d}", MANY_BYTES)
    signed, mined, back, one, first = (Rounds() for _ in range(5))
    stored: list[Stored] = []
    asked_put, asked_one = Asked(), Asked()
    rounds = max(1, ground.options.rounds // 3)
    for number in range(rounds):
        with counted() as now:
            stored.append(await _put(ground, ground.folder / "many", signed, mined))
        asked_put = max(asked_put, now, key=lambda one: one.rpc)
        target = ground.folder / f"many-back-{number}"
        with ground.processors.round(back):
            await ground.renter.get(stored[-1].order, target)
        for index in range(count):
            _check_same(ground.folder / f"many/{index:04d}", target / f"many/{index:04d}")
        shutil.rmtree(target)
    for number in range(ground.options.rounds):
        name = f"many/{number * count // ground.options.rounds:04d}"
        watch = _FirstByte()
        target = ground.folder / f"one-back-{number}"
        with counted() as now, ground.processors.round(first), ground.processors.round(one):
            await ground.renter.get(stored[-1].order, target, only=[name.encode()], watch=watch)
        first.stop_last(seconds=watch.seconds, cpu_seconds=watch.cpu_seconds)
        asked_one = max(asked_one, now, key=lambda one: (one.rpc, one.farmers))
    return {
        "objects_per_s_acknowledged": round(1000 * count / signed.shown()["wall_ms"], 1),
        "objects_per_s_in_a_block": round(1000 * count / mined.shown()["wall_ms"], 1),
        "objects_per_s_read": round(1000 * count / back.shown()["wall_ms"], 1),
        "put": {"acknowledged": signed.shown(), "in_a_block": mined.shown(), **asked_put.shown()},
        "get": back.shown(),
        "get_one_of_them": {"first_byte": first.shown_at_stop(), "whole": one.shown(), **asked_one.shown()},
    }


class _FirstByte:
    """Stops the clocks at the first byte."""

    seconds = cpu_seconds = 0.0

    def __call__(self, event: ProgressEvent) -> None:
        if isinstance(event, Progress) and event.size_bytes and not self.seconds:
            self.seconds, self.cpu_seconds = time.perf_counter(), time.process_time()


def _check_same(source: Path, back: Path) -> None:
    if source.read_bytes() != back.read_bytes():
        raise SystemExit(f"{back.name} is not what was stored")
