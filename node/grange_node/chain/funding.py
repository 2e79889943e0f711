"""Whether the operator's account can pay: tokens for the stake, and gas tokens.

What a proof takes says `grange.chain.call_sizes`. What the gas tokens in the account are enough for is
counted in epochs, so that a farm can be warned before they are used up: without gas no proof is sent, and
what is not proven is missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grange.chain import Chain, Sender, SendPolicy
from grange.chain.call_sizes import PROOF, SETUP
from grange.chain.fees import read_fee_level
from grange.chain.gas_cost import GasPrices, read_data_prices
from grange.tasks import together
from grange.times import format_duration
from grange.types import Address
from grange.units import format_count, format_gas_tokens, format_gwei
from grange_node.errors import NotFunded

ADVISED_EPOCHS: Final = 100
"""How many epochs of proofs an operator is advised to have gas for."""
LOW_EPOCHS: Final = 20
"""An account that is enough for fewer epochs than this is nearly empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GasReserve:
    """The gas tokens in an account, and what a proof costs at the fees of now, both in wei; and a unit of gas
    beside the most that is offered for one."""

    held_wei: int
    proof_wei: int
    setup_wei: int = 0
    """What setting up a farm costs."""
    data_fee_wei: int = 0
    """What a rollup charges for a proof's data, for each unit of its gas."""
    base_wei: int = 0
    cap_wei: int | None = None
    epoch_seconds: float = 0.0
    """How long an epoch takes, so that it can be said until when there is enough; 0 if that is not known."""

    @property
    def epochs(self) -> int | None:
        """How many proofs it pays for; None where gas costs nothing."""
        return self.held_wei // self.proof_wei if self.proof_wei else None

    @property
    def lasting_seconds(self) -> int | None:
        """For how long these are; None where that is not known, or gas costs nothing."""
        return (
            None if self.epochs is None or not self.epoch_seconds else int(self.epochs * self.epoch_seconds)
        )

    @property
    def is_low(self) -> bool:
        """Whether it is time to send more."""
        return self.epochs is not None and self.epochs < LOW_EPOCHS

    @property
    def is_empty(self) -> bool:
        """Whether it does not pay for one proof."""
        return self.epochs == 0

    @property
    def is_held_back(self) -> bool:
        """Whether gas costs so much that nothing is sent."""
        return self.cap_wei is not None and self._dearest_wei >= self.cap_wei

    @property
    def _dearest_wei(self) -> int:
        """What is held against the cap: the base fee, or what data comes to."""
        return max(self.base_wei, self.data_fee_wei)

    def cap_warning(self) -> str:
        """What follows from fees above the cap, and what to do."""
        return (
            f"a unit of gas costs {format_gwei(self._dearest_wei)} gwei, and the cap is "
            f"{format_gwei(self.cap_wei or 0)}: no proof is sent until gas is cheaper, and an epoch "
            "without one is not paid and counts as missed. To allow more: grange farm fees --max-fee-gwei"
        )

    @property
    def advised_wei(self) -> int:
        """How much to send, so that it is enough for a good while."""
        return max(0, ADVISED_EPOCHS * self.proof_wei - self.held_wei)

    def describe(self) -> str:
        """For a table: how much there is, and for how long that is enough."""
        held = f"{format_gas_tokens(self.held_wei)} gas tokens"
        if self.epochs is None:
            return held
        lasting = f" ({format_duration(self.lasting_seconds)})" if self.lasting_seconds else ""
        return f"{held}, enough for about {format_count(self.epochs, 'proof')}{lasting}"

    def warning(self, operator: Address) -> str:
        """What is wrong with a low reserve, and what to do."""
        return (
            f"the operator {operator} has {self.describe()}. A proof costs about "
            f"{format_gas_tokens(self.proof_wei)} at today's fees, and an epoch without a proof is not paid "
            f"and counts as missed. Send it {format_gas_tokens(self.advised_wei)} gas tokens, which is "
            f"enough for {ADVISED_EPOCHS} epochs"
        )


async def read_gas_reserve(chain: Chain, operator: Address, policy: SendPolicy | None = None) -> GasReserve:
    """Ask the chain. Raises ChainError."""
    policy = policy or SendPolicy()
    level, data, held_wei = await together(
        read_fee_level(chain.rpc, policy), read_data_prices(chain.rpc), chain.native_balance(operator)
    )
    prices = GasPrices(gas_wei=level.offered_wei(policy), data=data)
    return GasReserve(
        held_wei=held_wei,
        proof_wei=prices.cost_wei(PROOF),
        setup_wei=prices.cost_wei(SETUP, transactions=2),
        data_fee_wei=-(-data.cost_wei(PROOF) // PROOF.gas),
        base_wei=level.base_wei,
        cap_wei=policy.max_fee_wei,
    )


async def check_funds(sender: Sender, tokens: int) -> None:
    """Raise NotFunded, which names all that is missing, unless the sender has tokens for a stake and gas
    tokens."""
    chain, address, unit = sender.chain, sender.address, sender.chain.unit
    held = await chain.token_balance(address)
    reserve = await read_gas_reserve(chain, address, sender.policy)
    missing = []
    if held < tokens:
        missing.append(
            f"{unit.exact(tokens - held)} more (it holds {unit.exact(held)} and {unit.exact(tokens)} are "
            f"needed; the token is {chain.token})"
        )
    if reserve.held_wei < max(1, reserve.setup_wei):
        missing.append(
            f"{format_gas_tokens(max(1, reserve.advised_wei))} gas tokens, which pay the chain's fees (it "
            f"has {format_gas_tokens(reserve.held_wei)}; so much is enough for about {ADVISED_EPOCHS} epochs)"
        )
    if missing:
        raise NotFunded(
            f"The operator {address} has too little.",
            hint=f"Send it {' and '.join(missing)}, then run the same command again.",
        )
