"""What a person reads of a token: how fine its prices are, and that it was the token that refused."""

from __future__ import annotations

from typing import Any

import pytest

from grange.chain import TransactionReverted
from grange.cli.chain_words import explain_chain
from grange.cli.parameter_words import describe_price_steps, describe_value
from grange.cli.presenter import Guidance
from grange.token_unit import TokenUnit

DAY = 86_400.0


@pytest.mark.parametrize(
    ("decimals", "step", "least"),
    [(6, "0.02794", "0.00003"), (2, "279.4", "0.3"), (0, "27940", "30")],
)
def test_how_fine_prices_are_is_told_for_a_month(decimals: int, step: str, least: str) -> None:
    said = describe_price_steps(TokenUnit(symbol="XYZ", decimals=decimals), DAY)
    assert f"for a GiB and epoch, {step} XYZ for a TB and month" in said
    assert said.endswith(f"a slot costs {least} XYZ a month at least")


def test_the_least_stake_is_told_in_tokens_and_other_parameters_as_numbers() -> None:
    unit = TokenUnit(symbol="USDC", decimals=6)
    assert describe_value("min_stake", 1_500_000, unit) == "1.5 USDC"
    assert describe_value("epoch_blocks", 43_200, unit) == "43,200"


@pytest.mark.parametrize(
    ("function", "name", "args", "is_by_token"),
    [
        ("claim", "Error", {"message": "Blacklistable: account is blacklisted"}, True),
        ("withdraw", "Unknown", {"data": b"\1\2\3\4"}, True),
        ("claim", "EarningsTooSmall", {"earnings": 1}, False),
        ("claim", "Unknown", {}, False),
        ("prove", "Error", {"message": "no"}, False),
    ],
)
def test_a_refusal_by_the_token_says_that_another_account_can_be_paid(
    function: str, name: str, args: dict[str, Any], is_by_token: bool
) -> None:
    error = TransactionReverted(function, name, args)
    assert error.is_by_token is is_by_token
    means, hint = explain_chain(error, Guidance())
    assert ("nobody else waits for it" in means, "--to ADDRESS" in hint) == (is_by_token, is_by_token)


def test_a_deposit_that_the_token_refuses_is_told_as_such() -> None:
    means, hint = explain_chain(
        TransactionReverted("depositWithPermit", "Error", {"message": "paused"}), Guidance()
    )
    assert "its token did" in means
    assert "use another account" in hint
