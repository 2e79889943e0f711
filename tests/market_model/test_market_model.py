"""Random stories: the contract does what the model of its rules does, to the last base unit."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from grange.devnet import DEVNET_PARAMETERS
from grange.types import Parameters

from .story import NO_TOKEN, PLAYED, Story

SHORT = Parameters(
    token=NO_TOKEN,
    epoch_blocks=7,
    grid_epochs=4,
    max_books=3,
    samples=2,
    collateral_epochs=8,
    max_misses=2,
    penalty=1,
    fine=1,
    auction_epochs=2,
    withdraw_delay_epochs=1,
)
"""Everything at its least: a farmer that misses lapses soon, and books take each other's place."""

UNEVEN = Parameters(
    token=NO_TOKEN,
    epoch_blocks=9,
    grid_epochs=5,
    max_books=4,
    samples=3,
    collateral_epochs=31,
    max_misses=5,
    penalty=2,
    fine=1,
    auction_epochs=3,
    withdraw_delay_epochs=2,
)
"""Numbers that divide nothing, and time enough between miss and lapse."""

MARKETS = {"short": SHORT, "uneven": UNEVEN, "devnet": DEVNET_PARAMETERS}
QUICK_EXAMPLES = 6
LONG_EXAMPLES = 300
STEPS = 40


def play(parameters: Parameters, examples: int, steps: int) -> None:
    class OneMarket(Story):
        pass

    OneMarket.parameters = parameters
    before = PLAYED.total()
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(OneMarket, settings=chosen)
    print(f"{examples} stories, {PLAYED.total() - before} calls played on contract and model")
    for name, count in sorted(PLAYED.items()):
        print(f"  {count:6} {name}")


@pytest.mark.parametrize("name", MARKETS)
def test_the_contract_does_what_its_rules_say(name: str) -> None:
    play(MARKETS[name], QUICK_EXAMPLES, STEPS)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", MARKETS)
def test_the_contract_does_what_its_rules_say_in_long_stories(name: str) -> None:
    play(MARKETS[name], LONG_EXAMPLES, 2 * STEPS)
