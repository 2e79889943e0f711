"""Backups of the same trees by Grange and by programs that write to a local disk, in one run.

Each command is a process of its own, from its start to its end, one after the other. All back up a tree, then
a share of it is changed, then all back it up again, once more when nothing changed, and restore it. What
comes back is compared.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from grange.chain.confirmations import FINAL_BLOCKS
from grange.units import MIB
from speed.backup_targets import judge
from speed.backup_tools import KNOWN, BackupTool, Command, why_left_out
from speed.grange_tool import GrangeTool
from speed.ground import Market, open_market
from speed.processes import run_measured
from speed.processors import Rounds
from speed.trees import Tree, check_same, make_large, make_small

CHANGED_SHARE = 0.01
Figures = dict[str, Any]
Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions:
    """How large it is measured, and beside whom."""

    peers: Sequence[str] = ("restic", "borg", "kopia")
    files: int = 2_000
    large_mib: int = 64
    farmers: int = 12
    k: int = 4
    n: int = 8
    rounds: int = 1

    @property
    def room_bytes(self) -> int:
        """The most that lies on the disk at a time: the trees, a repository of each program, n / k of it at
        the farmers each round, a spool, and what is restored."""
        once = self.large_mib * MIB + self.files * 4096 * 2
        return int(once * (4 + len(self.peers) + self.rounds * self.n / self.k))


async def measure_backup(options: BackupOptions, folder: Path, tell: Tell = lambda text: None) -> Figures:
    """All of it: medians of the rounds, beside the targets."""
    left_out = {name: why for name in options.peers if (why := why_left_out(name))}
    peers = [name for name in options.peers if name not in left_out]
    makers: Mapping[str, Callable[[Path, int], Tree]] = {
        "small": lambda root, seed: make_small(root, options.files, seed),
        "large": lambda root, seed: make_large(root, options.large_mib * MIB, seed),
    }
    rounds: dict[str, list[Figures]] = {name: [] for name in makers}
    versions: dict[str, str] = {}
    async with open_market(options.farmers, folder) as market:
        for number in range(options.rounds):
            for name, make in makers.items():
                place = folder / f"{name}-{number}"
                tree = await asyncio.to_thread(make, place / "tree", number)
                grange = GrangeTool(home=place / "renter", k=options.k, n=options.n)
                await market.renter(grange.home)
                tools: list[BackupTool] = [grange, *(KNOWN[peer](place / peer) for peer in peers)]
                versions |= {one.name: one.version for one in tools}
                tell(f"round {number + 1}, {name} files")
                rounds[name].append(await _Round(market, tree, place, tools, tell).run())
                shutil.rmtree(place)
    trees = {name: merged(found) for name, found in rounds.items()}
    return {
        "trees": trees,
        **judge(trees),
        "versions": versions,
        "left_out": left_out,
        "options": {name: getattr(options, name) for name in options.__slots__},
    }


class _Round:
    """One tree, by all of them."""

    def __init__(
        self, market: Market, tree: Tree, folder: Path, tools: Sequence[BackupTool], tell: Tell
    ) -> None:
        self._market = market
        self._tree = tree
        self._folder = folder
        self._tools = tools
        self._tell = tell

    async def run(self) -> Figures:
        """What each took, and how large the tree is."""
        found: dict[str, Figures] = {tool.name: {} for tool in self._tools}
        size_bytes = self._tree.size_bytes()
        for tool in self._tools:
            if (command := tool.set_up()) is not None:
                await _ran(command)
            found[tool.name]["first"] = await self._measured(tool, tool.back_up(self._tree))
        await asyncio.to_thread(self._tree.change, CHANGED_SHARE)
        for tool in self._tools:
            found[tool.name]["second"] = await self._measured(tool, tool.back_up(self._tree))
        # As on another day: Grange drops what it kept here until its orders were buried.
        await self._market.devnet.mine(FINAL_BLOCKS)
        for tool in self._tools:
            found[tool.name]["unchanged"] = await self._measured(tool, tool.back_up(self._tree))
        for tool in self._tools:
            found[tool.name]["restore"] = await self._restored(tool, "")
            found[tool.name]["partial_restore"] = await self._restored(tool, self._tree.part)
        return {"size_bytes": size_bytes, "files": sum(1 for _ in self._tree.files()), "tools": found}

    async def _restored(self, tool: BackupTool, part: str) -> Figures:
        target = self._folder / "back"
        target.mkdir()
        figures = await self._measured(tool, tool.restore(self._tree, target, part))
        await asyncio.to_thread(check_same, self._tree, tool.restored_at(target, part), part)
        await asyncio.to_thread(shutil.rmtree, target)
        return figures | {"written_bytes": self._tree.size_bytes(part)}

    async def _measured(self, tool: BackupTool, command: Command) -> Figures:
        before = await asyncio.to_thread(tool.stored_bytes)
        others = Rounds()
        with self._market.processors.round(others):
            ran = await _ran(command)
        grown = await asyncio.to_thread(tool.stored_bytes) - before
        traffic = tool.traffic(ran["said"], grown_bytes=grown, read_bytes=ran["read_bytes"])
        figures = {name: ran[name] for name in ("seconds", "cpu_seconds", "peak_memory_mb")}
        if isinstance(tool, GrangeTool):
            figures["farmers_cpu_seconds"] = round(others.farmers_ms[0] / 1000, 3)
        figures |= {
            "sent_bytes": traffic.sent_bytes,
            "content_bytes": round(traffic.sent_bytes * tool.content_share),
            "received_bytes": traffic.received_bytes,
        }
        self._tell(f"{tool.name}: {figures}")
        return figures


async def _ran(command: Command) -> Figures:
    return await run_measured(
        "speed.measured_command", command.folder, *command.arguments, environment=command.environment
    )


def merged(rounds: Sequence[Any]) -> Any:
    """The median of each figure of several rounds, whatever they are in."""
    first = rounds[0]
    if isinstance(first, dict):
        return {name: merged([one[name] for one in rounds]) for name in first}
    return None if first is None else median(rounds)
