"""An answer of the contract is kept for as long as it must come out the same, and no longer."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from grange.chain import calls
from grange_devnet import DEVNET_PARAMETERS
from grange_devnet.evm import Evm

from .playing import ACTORS
from .stage import Stage

ALICE, BOB = ACTORS[0].address, ACTORS[1].address


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage(DEVNET_PARAMETERS, ACTORS[:2])


def test_what_a_view_read_is_as_it_was_so_it_is_not_run_again(stage: Stage) -> None:
    before = stage.ask("vault", ALICE)
    stage.send(BOB, calls.deposit(7))
    stage.mine(3)
    with patch.object(Evm, "call", side_effect=AssertionError("run again")):
        assert stage.ask("vault", ALICE) == before


def test_a_transaction_and_a_reorg_change_what_is_answered(stage: Stage) -> None:
    before, mark = stage.ask("vault", ALICE), stage.mark()
    stage.send(ALICE, calls.deposit(11))
    assert stage.ask("vault", ALICE) == before + 11
    stage.go_back(mark)
    assert stage.ask("vault", ALICE) == before


def test_what_hangs_on_the_block_is_asked_in_each(stage: Stage) -> None:
    before = stage.ask("currentEpoch")
    stage.mine(stage.parameters.epoch_blocks)
    assert stage.ask("currentEpoch") == before + 1
