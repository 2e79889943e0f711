"""`grange put` ends when the order is placed; interrupted before, it says how far it came."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_fakes import FakeFarmer, World, honest
from test_client_cli import Machine, machine

from grange.cli.exit_codes import ExitCode

__all__ = ["machine"]
PUT = ("--yes", "--k", "2", "--n", "4", "--epochs", "5")


@pytest.fixture(autouse=True)
def interrupts_are_heard() -> Iterator[None]:
    """What a shell starts in the background begins with Ctrl-C switched off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    """As Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


def words(text: str) -> str:
    """Without the lines' ends."""
    return " ".join(text.split())


def test_before_the_signatures_nothing_is_paid(machine: Machine, tree: Path) -> None:
    def accept(farmer: FakeFarmer, fields: dict[str, Any]) -> dict[str, Any]:
        interrupt()
        return honest(farmer, fields)

    def prepare(world: World) -> None:
        for farmer in world.farmers:
            farmer.behaviour.acceptance = accept

    machine.prepare = prepare
    done = machine("orders", "put", tree, *PUT)
    assert done.exit_code == ExitCode.INTERRUPTED
    assert "Nothing was placed and nothing is paid" in words(done.stderr)


def test_when_it_may_have_been_sent_it_says_until_when_it_may_be_placed(machine: Machine, tree: Path) -> None:
    machine.prepare = lambda world: world.market.failures.append(interrupt)
    done = machine("orders", "put", tree, *PUT)
    assert done.exit_code == ExitCode.INTERRUPTED
    assert "the transaction may have been sent" in words(done.stderr)
    assert "be paid for, until block" in words(done.stderr)


def test_in_a_block_it_is_said_to_be_placed(machine: Machine, tree: Path) -> None:
    async def meanwhile() -> None:
        interrupt()
        await asyncio.Event().wait()

    machine.prepare = lambda world: world.market.after_mined.append(meanwhile)
    done = machine("orders", "put", tree, *PUT)
    assert done.exit_code == ExitCode.INTERRUPTED
    assert "is placed and paid, in block" in words(done.stderr)
