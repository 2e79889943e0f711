"""Parameters for a market, with a reason for each: what `grange market deploy` offers, and what any market's
parameters are held against.

    preset = PRESETS["rollup"]
    parameters = preset.parameters(token, decimals=6)
    for one in differences(parameters, decimals=6, preset=preset):
        one.name, one.value, one.usual, one.meaning

A market with others is not a forgery, and the contract refuses what can't work. But nobody can change them
later, and what they mean is not seen before it hurts: so it is said.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final

from grange.types import Address, Parameters

MIN_STAKE: Final = "min_stake"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A kind of chain, and the parameters for it."""

    name: str
    about: str
    block_seconds: float
    """What the values are made for."""
    values: Mapping[str, int]
    """Without the token and the least stake."""
    min_stake_tokens: int
    """The least stake in whole tokens; 0 is one base unit."""
    reasons: Mapping[str, str]

    def parameters(self, token: Address, *, decimals: int) -> Parameters:
        """The parameters of a market with this token."""
        return Parameters(token=token, min_stake=self.min_stake(decimals), **self.values)

    def min_stake(self, decimals: int) -> int:
        """The least stake in base units of a token with so many decimals."""
        return self.min_stake_tokens * 10**decimals or 1

    def value_text(self, name: str) -> str:
        """A parameter's value as a person reads it."""
        if name in self.values:
            return f"{self.values[name]:,}"
        return f"{self.min_stake_tokens} tokens" if self.min_stake_tokens else "1 base unit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A parameter that is not as a preset has it."""

    name: str
    value: int
    usual: int
    meaning: str
    """What follows from that."""


def differences(parameters: Parameters, *, decimals: int, preset: Preset) -> list[Difference]:
    """What a market has otherwise than a preset."""
    usual = preset.parameters(parameters.token, decimals=decimals)
    found = []
    for one in fields(Parameters):
        value, expected = getattr(parameters, one.name), getattr(usual, one.name)
        if value != expected:
            lower, higher = MEANINGS[one.name]
            meaning = lower if value < expected else higher
            found.append(Difference(name=one.name, value=value, usual=expected, meaning=meaning))
    return found


def nearest_preset(parameters: Parameters, *, decimals: int) -> Preset:
    """The one that a market differs from least."""
    return min(PRESETS.values(), key=lambda one: len(differences(parameters, decimals=decimals, preset=one)))


MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "epoch_blocks": (
        "Epochs are shorter: farmers send more proofs, and pay more gas for the same rent.",
        "Epochs are longer: fewer proofs, and a farmer that lost data is found out later.",
    ),
    "grid_epochs": (
        "Orders end on more dates: the longest term is shorter, and each farmer's books change more often.",
        "Orders end on fewer dates: a short order is paid for longer than was asked for.",
    ),
    "max_books": (
        "Orders can run for fewer dates ahead: they have to be extended more often.",
        "Orders can run for more dates ahead: calls that settle a farmer cost more gas.",
    ),
    "samples": (
        "Fewer leaves are proven: who drops a little is caught later, and proofs cost less gas.",
        "More leaves are proven: who drops a little is caught sooner, and proofs cost more gas.",
    ),
    "collateral_epochs": (
        "Farmers have less at stake for each slot: vanishing costs them less, bounties are smaller.",
        "Farmers have more at stake for each slot: they need more money to offer the same space.",
    ),
    "max_misses": (
        "A farmer is out after fewer misses: a short outage costs it all of its slots.",
        "A farmer is out after more misses: what it lost is repaired later.",
    ),
    "penalty": (
        "Renters get less for an epoch that was missed.",
        "Renters get more for a missed epoch: those in league with who makes the blocks gain by it.",
    ),
    "fine": (
        "Less is burnt for a miss: where farmer and renter are one, missing is cheaper.",
        "More is burnt for a miss: honest outages cost more.",
    ),
    "auction_epochs": (
        "Bounties rise faster: repairs begin sooner, and cost more of the stake.",
        "Bounties rise more slowly: repairs begin later, and an order is in danger for longer.",
    ),
    "withdraw_delay_epochs": (
        "Renters' money can leave sooner: farmers must redeem vouchers more often.",
        "Renters' money leaves later: an account stays tied up for longer.",
    ),
    MIN_STAKE: (
        "A name costs less: it is cheaper to register many of them.",
        "A name costs more: small farms are kept out.",
    ),
    "former_operator_blocks": (
        "What a replaced key signed counts for less time: orders under way may fail by it.",
        "What a replaced key signed counts for longer: so does what a thief signed with it.",
    ),
}
"""Of each parameter what it means to be below and above what is usual."""

_SAME: Final = {
    "max_books": 12,
    "samples": 5,
    "max_misses": 4,
    "penalty": 1,
    "fine": 1,
    "auction_epochs": 4,
    "withdraw_delay_epochs": 2,
}
_SAME_REASONS: Final = {
    "max_books": "Twelve dates ahead are a year of months. With more, settling a farmer costs more gas.",
    "samples": "Five leaves catch a farmer that dropped a tenth in two of five epochs, and cost little gas.",
    "max_misses": "Four misses, each made good for by a proof, are an outage of some days, and no habit.",
    "penalty": "A renter gets an epoch's pay back, and one more for its trouble: not enough to wish for it.",
    "fine": "What is burnt keeps a farmer that is its own renter from missing for nothing.",
    "auction_epochs": "A slot is refilled within a few epochs, at the least bounty that somebody takes.",
    "withdraw_delay_epochs": "A farmer has an epoch to redeem its vouchers before a renter's money leaves.",
}
_LIVE_COLLATERAL_EPOCHS: Final = 30
"""What docs/durability.md assumes (ADR 185)."""
_LIVE_REASONS: Final = {
    "collateral_epochs": "The most that a slot's bounty can be is half of it. 15 days of pay are worth a "
    "repair's reads and gas; the 7 that the least collateral leaves often are not.",
    "grid_epochs": "Orders end once a month: farmers have twelve books at most, and renewals come together.",
    MIN_STAKE: "A month's rent for a terabyte, where a token is worth about a dollar: a farm of a terabyte "
    "has as much at stake anyhow.",
    "former_operator_blocks": "As long as an acceptance is good for: a new key spoils no order under way.",
}


def _live(name: str, about: str, *, block_seconds: float, epoch_blocks: int, epoch: str) -> Preset:
    return Preset(
        name=name,
        about=about,
        block_seconds=block_seconds,
        values={
            "epoch_blocks": epoch_blocks,
            "grid_epochs": 30,
            "collateral_epochs": _LIVE_COLLATERAL_EPOCHS,
            "former_operator_blocks": 300,
            **_SAME,
        },
        min_stake_tokens=2,
        reasons={"epoch_blocks": epoch, **_LIVE_REASONS, **_SAME_REASONS},
    )


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _live(
                "mainnet",
                "a chain with a block every 12 seconds, where gas is dear",
                block_seconds=12,
                epoch_blocks=7_200,
                epoch="A day at 12 s a block: a proof a day is what dear gas allows.",
            ),
            _live(
                "rollup",
                "a chain with a block every 2 seconds, where gas is cheap",
                block_seconds=2,
                epoch_blocks=43_200,
                epoch="A day at 2 s a block: a farmer has a day to prove, also after an outage.",
            ),
            Preset(
                name="test",
                about="a devnet, or a test net: epochs of ten blocks, so that days pass in minutes",
                block_seconds=1,
                values={
                    "epoch_blocks": 10,
                    "grid_epochs": 8,
                    "collateral_epochs": 16,
                    "former_operator_blocks": 30,
                    **_SAME,
                },
                min_stake_tokens=0,
                reasons={
                    "epoch_blocks": "Ten blocks are ten seconds on a devnet: audits can be watched.",
                    "grid_epochs": "Orders end every 80 blocks: in minutes.",
                    "collateral_epochs": "The least that the contract takes with these rules: half covers "
                    "all penalties up to the lapse, half is what bounties are paid from.",
                    MIN_STAKE: "One base unit: anyone may try.",
                    "former_operator_blocks": "Three epochs: as long as a test waits.",
                    **_SAME_REASONS,
                },
            ),
        )
    }
)
"""By name. Those of a live chain are made for a token that is worth about a dollar."""
