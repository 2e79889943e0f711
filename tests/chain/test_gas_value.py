"""What gas is worth: whole numbers, a command that can do no harm, and settings that say what is wrong."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shlex
import signal
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from grange.chain.fee_settings import (
    FEES_NAME,
    FeeSettings,
    FeeSettingsInvalid,
    load_fee_settings,
    save_fee_settings,
)
from grange.chain.gas_cost import CallSize, DataPrices, GasPrices
from grange.chain.gas_value import (
    LONGEST_PRICE_AGE_SECONDS,
    PRICE_AGE_SECONDS,
    GasPriceFeed,
    GasValue,
    GasValuer,
    PriceUnknown,
    price_by_command,
)
from grange.cli.fees import FeeChoice, changed_fees
from grange.errors import Misuse
from grange.units import GWEI, TOKEN, format_gwei, format_usd, parse_gwei, parse_usd

PYTHON = sys.executable


def printing(program: str) -> tuple[str, ...]:
    return PYTHON, "-c", program


def test_amounts_are_read_and_shown_without_loss() -> None:
    assert [parse_usd(text) for text in ("3000", "0.000001", "12.5")] == [3_000_000_000, 1, 12_500_000]
    assert [parse_gwei(text) for text in ("0.01", "500", "1,000")] == [10**7, 500 * GWEI, 1_000 * GWEI]
    assert [format_gwei(wei) for wei in (10**7, 1_500 * GWEI, 1)] == ["0.01", "1,500", "0.000000001"]
    assert [format_usd(micro) for micro in (0, 1, 1_234, 999_999, 1_234_567_891)] == [
        "$0.00",
        "$0.000001",
        "$0.00124",
        "$1.00",
        "$1,234.57",
    ]


@pytest.mark.parametrize("text", ["", "-1", "1e3", "1.0000001", "NaN", "inf", "1" * 16, "٣", "3 000"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(Misuse):
        parse_usd(text)
    with pytest.raises(Misuse):
        parse_gwei(text if text != "1.0000001" else "1.0000000001")


def test_a_call_is_worth_what_all_of_it_costs_rounded_up() -> None:
    """A gas token of 3,000 dollars, a token of two: a gwei is 3 millionths of a dollar."""
    size = CallSize(gas=350_000, data_bytes=9_820)
    value = GasValue(
        prices=GasPrices(gas_wei=GWEI, data=DataPrices(byte_wei=GWEI)),
        microusd=3_000_000_000,
        token_microusd=2_000_000,
    )
    assert value.usd(size) == 360_000 * 3
    assert value.base_units(size) == 360_000 * 3 * TOKEN // 2_000_000
    assert value.base_units(size, transactions=0) < value.base_units(size)
    assert "0.00036 gas tokens, $1.08" in value.describe(size)
    one = GasValue(prices=GasPrices(gas_wei=1), microusd=1, token_units=1)
    assert (one.usd(size), one.base_units(size)) == (1, 1)
    six = GasValue(prices=GasPrices(gas_wei=GWEI), microusd=3_000_000_000, token_units=10**6)
    assert six.base_units(size) == 350_000 * 3


def test_a_fixed_price_is_the_least_and_without_any_price_gas_is_free() -> None:
    size = CallSize(gas=10, data_bytes=0)
    assert GasValue(prices=GasPrices(gas_wei=0), microusd=1, fixed_price=7).base_units(size) == 70
    assert GasValue(prices=GasPrices(gas_wei=0), fixed_price=Fraction(1, 3)).base_units(size) == 4
    free = GasValue(prices=GasPrices(gas_wei=10**20))
    assert (free.base_units(size), free.usd(size)) == (0, None)


async def test_a_command_prints_the_price_and_no_shell_reads_it(tmp_path: Path) -> None:
    assert await price_by_command(printing("print(' 3000.25 ')")) == 3_000_250_000
    spared = tmp_path / "spared"
    spared.touch()
    with pytest.raises(PriceUnknown, match="printed"):
        await price_by_command(("echo", f"3000; rm {spared}"))
    assert spared.exists()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import time; time.sleep(60)", "did not end within 1 s"),
        ("import sys; sys.exit(3)", "ended with 3"),
        ("print(0)", "printed 0"),
        ("print('-5')", "printed '-5"),
        ("print('1e30')", "not an amount of dollars"),
        ("print('\\x1b[2J9')", r"printed '\?\[2J9"),
        ("import sys; sys.stdout.buffer.write(bytes([255]))", "not an amount of dollars"),
        ("print('9' * 10**7)", "ended with -9"),
        ("pass", "not an amount of dollars"),
        ("import sys; print(5 if sys.stdin.read() == '' else 0); sys.exit(1)", "ended with 1"),
    ],
)
async def test_a_command_that_gives_no_price_is_named_and_ended(program: str, said: str) -> None:
    with pytest.raises(PriceUnknown, match=said):
        await price_by_command(printing(program), seconds=1 if "sleep" in program else 30)


async def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(PriceUnknown, match="/nowhere/price cannot be run"):
        await price_by_command(("/nowhere/price",))
    with pytest.raises(PriceUnknown, match="cannot be run"):
        await price_by_command(("with\0nothing",))


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def nobody_holds(held: Path) -> None:
    """Who held it was killed; the system may take a moment to let go of its files."""
    with held.open() as file:
        for _ in range(1_000):
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            await asyncio.sleep(0.01)  # it is killed, and the system has not let go of its files yet
        else:
            pytest.fail("it still runs")


async def test_what_a_command_started_is_ended_with_it(tmp_path: Path) -> None:
    """Else a feed that hangs would leave one more process every five minutes."""
    held = tmp_path / "held"
    child = f"import fcntl, time; f = open({str(held)!r}, 'w'); fcntl.flock(f, 2); time.sleep(60)"
    program = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); "
    with pytest.raises(PriceUnknown):
        await price_by_command(printing(program + "time.sleep(60)"), seconds=3)
    await nobody_holds(held)


@pytest.mark.parametrize("holds_the_output", [True, False])
async def test_what_a_command_left_behind_is_ended_when_it_has_ended_itself(
    tmp_path: Path, holds_the_output: bool
) -> None:
    """As with `update-cache & echo 3000`."""
    held, ready = tmp_path / "held", tmp_path / "ready"
    os.mkfifo(ready)
    child = (
        f"import fcntl, time; f = open({str(held)!r}, 'w'); fcntl.flock(f, 2); "
        f"open({str(ready)!r}, 'w').close(); time.sleep(60)"
    )
    output = "None" if holds_the_output else "subprocess.DEVNULL"
    program = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}], stdout={output}); "
        f"open({str(ready)!r}).read(); print(7)"
    )
    if holds_the_output:
        with pytest.raises(PriceUnknown, match="did not end"):
            await price_by_command(printing(program), seconds=3)
    else:
        assert await price_by_command(printing(program)) == 7_000_000
    await nobody_holds(held)


async def test_a_process_that_left_the_command_behind_holds_nothing_up(tmp_path: Path) -> None:
    """In a session of its own nobody ends it; what it has open of ours is closed all the same."""
    pid = tmp_path / "pid"
    child = "import time; time.sleep(60)"
    program = (
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {child!r}], "
        f"start_new_session=True); open({str(pid)!r}, 'w').write(str(child.pid)); print(7)"
    )
    open_before = open_descriptors()
    try:
        with pytest.raises(PriceUnknown, match="did not end within 2 s"):
            await price_by_command(printing(program), seconds=2)
        assert open_descriptors() == open_before
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_a_setting_that_cannot_be_is_wrong_usage() -> None:
    with pytest.raises(Misuse, match="32"):
        changed_fees(FeeSettings(), FeeChoice(gas_usd_command="word " * 40))


async def test_the_last_price_counts_for_a_day_and_then_the_number_that_was_given(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now, price = 0.0, tmp_path / "price"
    price.write_text("100")
    settings = FeeSettings(gas_usd="90", gas_usd_command=printing(f"print(open({str(price)!r}).read())"))
    feed = GasPriceFeed(settings, steady=lambda: now)
    assert (await feed.microusd(), feed.trouble) == (100_000_000, "")
    price.write_text("200")
    assert await feed.microusd() == 100_000_000
    now += PRICE_AGE_SECONDS
    assert await feed.microusd() == 200_000_000
    price.write_text("a riddle")
    with caplog.at_level(logging.WARNING, "grange.chain"):
        for _ in range(3):
            now += PRICE_AGE_SECONDS
            assert await feed.microusd() == 200_000_000
    assert len(caplog.records) == 1
    assert "a riddle" in feed.trouble
    now += LONGEST_PRICE_AGE_SECONDS
    assert await feed.microusd() == 90_000_000


async def test_what_has_to_pay_for_its_gas_waits_while_nobody_knows_the_price() -> None:
    rpc: Any = None
    valuer = GasValuer(
        rpc, FeeSettings(gas_usd_command=("/nowhere/price",)), token_units=TOKEN, fixed_price=5
    )
    with pytest.raises(PriceUnknown, match="Nothing says what gas is worth now"):
        await valuer.for_decisions()
    assert (await valuer.now()).base_units(CallSize(gas=2, data_bytes=0)) == 10
    untold = await GasValuer(rpc, FeeSettings(), token_units=TOKEN).for_decisions()
    assert untold.base_units(CallSize(gas=2, data_bytes=0)) == 0


def test_settings_are_kept_readable_by_their_owner_only(tmp_path: Path) -> None:
    assert load_fee_settings(tmp_path) == FeeSettings()
    chosen = changed_fees(
        FeeSettings(),
        FeeChoice(
            max_fee_gwei="0.5", gas_usd="3000", gas_usd_command=shlex.join(["a b", "--c"]), token_usd="2"
        ),
    )
    save_fee_settings(tmp_path, chosen)
    assert load_fee_settings(tmp_path) == chosen
    assert (tmp_path / FEES_NAME).stat().st_mode & 0o077 == 0
    assert chosen.gas_usd_command == ("a b", "--c")
    assert chosen.policy.max_fee_wei == GWEI // 2
    gone = changed_fees(chosen, FeeChoice(gas_usd="none", gas_usd_command="none"))
    assert (gone.has_price, gone.max_fee_gwei) == (False, "0.5")


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"gas_usd": "lots"}', '{"max_fee_gwei": "0"}', '{"token_usd": "0"}', '{"fee": 1}', "\xff"],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / FEES_NAME).write_bytes(content.encode("latin-1"))
    with pytest.raises(FeeSettingsInvalid, match=str(tmp_path / FEES_NAME)):
        load_fee_settings(tmp_path)


@pytest.mark.parametrize(
    "choice",
    [
        FeeChoice(max_fee_gwei="0"),
        FeeChoice(max_fee_gwei="much"),
        FeeChoice(gas_usd="0"),
        FeeChoice(gas_usd="1e3"),
        FeeChoice(token_usd="0"),
        FeeChoice(gas_usd_command=""),
        FeeChoice(gas_usd_command="'"),
    ],
)
def test_a_choice_that_makes_no_sense_is_wrong_usage(choice: FeeChoice) -> None:
    with pytest.raises(Misuse):
        changed_fees(FeeSettings(), choice)
