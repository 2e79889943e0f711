"""Random stories: the contract does what the model of its rules does, to the last base unit."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from grange.types import Parameters, address_from
from grange_devnet import DEVNET_PARAMETERS

from .playing import PLAYED
from .story import Story

NO_TOKEN = address_from(bytes(20))

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
    min_stake=1,
    former_operator_blocks=0,
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
    min_stake=1_000,
    former_operator_blocks=12,
)
"""Numbers that divide nothing, and time enough between miss and lapse."""

MARKETS = {"short": SHORT, "uneven": UNEVEN, "devnet": DEVNET_PARAMETERS}
QUICK_EXAMPLES = 4
LONG_EXAMPLES = 100
STEPS = 40


def play(name: str, examples: int, steps: int) -> str:
    """Stories on one of the markets; what was played, in words."""

    class OneMarket(Story):
        parameters = MARKETS[name]

    before = PLAYED.copy()
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(OneMarket, settings=chosen)
    played = PLAYED - before
    lines = [f"{name}: {examples} stories, {played.total()} calls compared on contract and model"]
    return "\n".join(lines + [f"  {count:7} {what}" for what, count in sorted(played.items())])


@pytest.mark.parametrize("name", MARKETS)
def test_the_contract_does_what_its_rules_say(name: str) -> None:
    print(play(name, QUICK_EXAMPLES, STEPS))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", MARKETS)
def test_the_contract_does_what_its_rules_say_in_long_stories(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    played = play(name, LONG_EXAMPLES, 2 * STEPS)
    with capsys.disabled():
        print(f"\n{played}")
