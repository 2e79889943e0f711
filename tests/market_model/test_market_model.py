"""Random stories: the contract does what the model of its rules does, to the last base unit."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from grange.chain.codec import artifact
from grange.chain.deployment import PARTS
from grange.types import Parameters, address_from
from grange_devnet import DEVNET_PARAMETERS

from .playing import PLAYED, RENTERS
from .turns import Turns

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
QUICK_EXAMPLES = 2
LONG_EXAMPLES = 100
STEPS = 25


def calls_of_the_market() -> set[str]:
    """Every external call that changes something, of all parts."""
    entries = [one for part in PARTS for one in artifact(part).abi.entries]
    return {
        one["name"]
        for one in entries
        if one["type"] == "function" and one["stateMutability"] not in ("view", "pure")
    }


def missing(played: Counter[str]) -> list[str]:
    """Calls that never went through, or were never refused: of them nothing is shown."""
    calls = calls_of_the_market()
    refused = {what.split()[0] for what in played if " " in what}
    return sorted(
        [f"{one} never went through" for one in calls if not played[one]]
        + [f"{one} was never refused" for one in calls if one not in refused]
    )


def told(played: Counter[str]) -> str:
    """What was played, in words: of each call how often it was tried, went through, and was refused why."""
    lines = [f"  {'went through':>12} {'of':>7}  call"]
    for call in sorted(calls_of_the_market()):
        why = {what: count for what, count in played.items() if what.startswith(f"{call} ")}
        reasons = ", ".join(f"{what.split()[1]} {count}" for what, count in sorted(why.items()))
        tried = played[call] + sum(why.values())
        lines.append(f"  {played[call]:12} {tried:7}  {call}" + (f" ({reasons})" if reasons else ""))
    return "\n".join(lines)


def play(name: str, examples: int, steps: int) -> str:
    """Random stories on one of the markets; what was played, in words."""

    class OneMarket(Turns):
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
    head = f"{name}: {examples} stories, {played.total()} calls compared on contract and model"
    return f"{head}\n{told(played)}"


@pytest.mark.parametrize("name", MARKETS)
def test_each_call_of_the_market_goes_through_and_is_refused(name: str) -> None:
    """All turns one after the other; a call that no turn makes is a failure."""

    class OneMarket(Turns):
        parameters = MARKETS[name]

    before, story = PLAYED.copy(), OneMarket()
    try:
        for turn in OneMarket.NAMES:
            story.play_turn(turn, RENTERS[0], 7)
            story.compare_everybody()
    finally:
        story.teardown()
    assert not missing(PLAYED - before), told(PLAYED - before)


@pytest.mark.parametrize("name", MARKETS)
def test_the_contract_does_what_its_rules_say(name: str) -> None:
    print(play(name, QUICK_EXAMPLES, STEPS))


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)  # half an hour on a core of its own; two hours beside other work
@pytest.mark.parametrize("name", MARKETS)
def test_the_contract_does_what_its_rules_say_in_long_stories(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each call, in states to which chance led."""
    before = PLAYED.copy()
    played = play(name, LONG_EXAMPLES, 3 * STEPS)
    with capsys.disabled():
        print(f"\n{played}")
    assert not missing(PLAYED - before)


def test_a_call_that_no_turn_makes_is_missed() -> None:
    """So a new call of any part must get into the turns."""
    calls = calls_of_the_market()
    all_but_one: Counter[str] = Counter()
    for one in calls - {"handOver"}:
        all_but_one[one] = all_but_one[f"{one} ZeroAmount"] = 1
    all_but_one["handOver HasStrikes"] = 1
    assert missing(all_but_one) == ["handOver never went through"]
