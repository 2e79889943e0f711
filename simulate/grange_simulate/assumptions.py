"""What a simulation assumes. Every number here is an assumption, and the defaults have their reasons beside
them.

Decides the defaults. Leaves what follows from them to the other modules. Nobody has measured a Grange
network yet: the defaults are meant to be on the dark side of what operators of similar networks report.
"""

from dataclasses import dataclass, field
from typing import Final

from grange.errors import Misuse
from grange.repair import full_bounty_rounded_down
from grange.units import GIB, MAX_SLOTS

STEPS_PER_DAY: Final = 4
DAYS_PER_YEAR: Final = 365
DAYS_PER_MONTH: Final = 30
BLOCKS_PER_DAY: Final = 7200
"""An epoch is a day on a live chain, with a block every twelve seconds."""
BLOCKS_PER_STEP: Final = BLOCKS_PER_DAY // STEPS_PER_DAY
STEP_SECONDS: Final = 86_400 // STEPS_PER_DAY
TOKEN_PARTS: Final = 10**9
"""Money is counted in billionths of a token here, so that sums fit 64 bits."""
MOST_STEPS: Final = 20 * DAYS_PER_YEAR * STEPS_PER_DAY
MOST_FARMERS: Final = 60_000
MOST_ORDERS: Final = 100_000
MOST_NETWORKS: Final = 1000
MOST_TOKENS: Final = 1000
MOST_GIB: Final = 100_000
MOST_MBIT: Final = 10**9
MOST_DAYS: Final = 10**9
MOST_SPREAD: Final = 3.0
MOST_RISE: Final = 0.9
MOST_HEADROOM: Final = 1000.0
GRID_DAYS: Final = 30
"""Orders end on dates so many epochs apart, as in the presets of live chains."""
MOST_GRID_PERIODS: Final = 11
"""A term lasts: one less than the books that a farmer may have there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """n slots, any k of which give the data back."""

    k: int
    n: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n <= MAX_SLOTS:
            raise Misuse(f"{self.k} of {self.n} is not a code: 1 <= k <= n <= {MAX_SLOTS}")

    def __str__(self) -> str:
        return f"{self.k} of {self.n}"


DEFAULT_CODES: Final = (Code(k=4, n=8), Code(k=10, n=20), Code(k=10, n=30), Code(k=29, n=80))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outages:
    """How often one group of farmers is cut off at once."""

    per_year: float
    """For each such group."""
    mean_hours: float
    for_good: float = 0.0
    """The share of these outages from which nobody comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Farmers:
    """How farmers live, fail and fail together."""

    count: int = 5000
    lifetime_days: float = 540.0
    """A year and a half on average, disks that die included: farmers accept months and leave their stake
    behind if they go early, but they are people at home."""
    lifetime_shape: float = 0.8
    """Weibull; below 1 the young leave sooner than the old, 1 is a constant rate."""
    alone: Outages = field(default_factory=lambda: Outages(per_year=12.0, mean_hours=10.0))
    """Updates, power, routers: once a month, and 98.6 % uptime from it."""
    subnet: Outages = field(default_factory=lambda: Outages(per_year=1.0, mean_hours=12.0, for_good=0.01))
    """A street's line or a small provider."""
    subnet_size: int = 5
    operator: Outages = field(default_factory=lambda: Outages(per_year=0.5, mean_hours=24.0, for_good=0.2))
    """Anyone who runs several farmers makes mistakes on all of them, and stops with all of them."""
    repairing: float = 0.1
    """The share of farmers that run a repairer."""
    shared_operators: float = 0.3
    """The share of farmers run by somebody who runs more than one."""
    largest_operator: float = 0.02
    """The share of farmers run by the largest; the others are smaller."""
    region: Outages = field(default_factory=lambda: Outages(per_year=0.5, mean_hours=8.0))
    regions: int = 8
    shocks: int = 1
    """How often in each simulated network `shock_share` of all farmers vanish at once. Once in every one,
    rather than by chance, so that what follows from it is seen in all of them."""
    shock_share: float = 0.3
    shock_for_good: bool = True
    """If not, they are cut off for `shock_hours`."""
    shock_hours: float = 48.0
    memoryless_eviction_days: float | None = None
    """Instead of counting misses: evicted after so many days on average. Not how the contract does it, but a
    constant rate, for which there is a closed form."""

    def __post_init__(self) -> None:
        if not 10 <= self.count <= MOST_FARMERS:
            raise Misuse(f"from 10 to {MOST_FARMERS} farmers can be simulated, not {self.count}")
        if not (0 < self.lifetime_days <= MOST_DAYS and 0.1 <= self.lifetime_shape <= 10):
            raise Misuse(f"lifetimes are above 0 and up to {MOST_DAYS} days, their shape from 0.1 to 10")
        if not (0 <= self.shock_share < 1 and 0 < self.shock_hours <= MOST_DAYS):
            raise Misuse("a shock takes a share of the farmers below 1, and some hours")
        if not 0 < self.repairing <= 1:
            raise Misuse("some farmers repair: a share above 0 and up to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """What the farmers' lines give to repair. Medians; the rest is log-normal around them."""

    upload_mbit: float = 20.0
    download_mbit: float = 100.0
    spread: float = 0.7
    """The standard deviation of the logarithm: two thirds of all lines are within a factor of two."""
    repair_share: float = 0.5
    """What is left beside serving renters and the household."""

    def __post_init__(self) -> None:
        speeds = (self.upload_mbit, self.download_mbit)
        if not (all(0 < speed <= MOST_MBIT for speed in speeds) and 0 < self.repair_share <= 1):
            raise Misuse(f"lines have up to {MOST_MBIT} Mbit/s, and a share of it up to 1 is for repair")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The market's parameters that repair depends on, by the names that they have there. Epochs are days."""

    max_misses: int = 4
    collateral_epochs: int = 30
    """The devnet has 16, the least that goes with the other rules. It pays too little for repair, which
    docs/durability.md shows."""
    penalty: int = 1
    fine: int = 1
    auction_epochs: int = 4

    def __post_init__(self) -> None:
        if min(self.max_misses, self.penalty, self.fine, self.auction_epochs) < 1:
            raise Misuse("misses, penalty, fine and auction are 1 at least")
        least = 2 * self.max_misses * (self.penalty + self.fine)
        if self.collateral_epochs < least:
            raise Misuse(f"with these rules the market wants a collateral of {least} epochs at least")

    def full_bounty_rounded_down(self, rate: int, *, left_epochs: int | None = None) -> int:
        """What is offered at most for a slot of this rate that is kept for so many more epochs (None: for
        long), from the collateral of a farmer that was evicted.

        It had no more than it must have; its misses and the reward for evicting it have been taken from that.
        """
        loss_per_miss = self.penalty + self.fine
        left = max(0, self.collateral_epochs - self.max_misses * loss_per_miss - 1)
        return full_bounty_rounded_down(
            rate=rate,
            collateral=rate * left,
            left_epochs=self.collateral_epochs if left_epochs is None else left_epochs,
            loss_per_miss=loss_per_miss,
            collateral_epochs=self.collateral_epochs,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """In tokens. Only their ratios matter."""

    rent_per_tib_month: float = 1.5
    egress_per_tib: float = 0.25
    """A sixth of a month's rent: home lines have no meter, and a farmer that asks more is read from last."""
    gas_once: float = 0.0015
    """A refill's 150,000 gas on a rollup: 0.003 gwei each, at 3000 tokens for a gas token."""
    gas_per_slot: float = 0.002
    """200,000 gas for each slot."""
    spread: float = 0.0
    """The standard deviation of the logarithm of what farmers ask. 0: all ask the same."""
    rise_per_year: float = 0.0
    """By which share all ask more after a year. What is stored already is kept at its rate until it is
    extended."""

    def __post_init__(self) -> None:
        prices = (
            self.rent_per_tib_month,
            self.egress_per_tib,
            self.gas_once,
            self.gas_per_slot,
        )
        if not all(0 <= price <= MOST_TOKENS for price in prices):
            raise Misuse(f"prices are from 0 to {MOST_TOKENS} tokens")
        if not (0 <= self.spread <= MOST_SPREAD and -MOST_RISE <= self.rise_per_year <= MOST_RISE):
            raise Misuse(
                f"prices spread by up to {MOST_SPREAD:g}, and rise or fall by up to {MOST_RISE:.0%} a year"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateTerms:
    """What renters say by their mandates, if they give any."""

    term_days: int = 0
    """How long an extension lasts. 0: there are no mandates, and orders last as long as they are watched."""
    headroom: float = 0.25
    """By how much the highest price is above that of the dearest slot: what `grange mandate give`
    proposes."""

    def __post_init__(self) -> None:
        if self.term_days not in range(0, (MOST_GRID_PERIODS + 1) * GRID_DAYS, GRID_DAYS):
            raise Misuse(
                f"a mandate's term is a multiple of {GRID_DAYS} days, up to {MOST_GRID_PERIODS * GRID_DAYS}"
            )
        if not 0 <= self.headroom <= MOST_HEADROOM:
            raise Misuse(f"a mandate pays up to {MOST_HEADROOM:g} times more than its orders cost at first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """All of it. Raises Misuse for what cannot be simulated."""

    years: float = 3.0
    orders: int = 1000
    """In each network."""
    order_gib: float = 256.0
    """What an order holds, before coding."""
    networks: int = 4
    """Independent ones, each with a history of its own."""
    extension_days: int = 0
    """How often the renter of an order extends it, and so fills its vacant slots, whatever that costs. 0:
    never, and orders last as long as they are watched."""
    farmers: Farmers = field(default_factory=Farmers)
    lines: Lines = field(default_factory=Lines)
    rules: Rules = field(default_factory=Rules)
    prices: Prices = field(default_factory=Prices)
    mandate: MandateTerms = field(default_factory=MandateTerms)

    def __post_init__(self) -> None:
        days = self.years * DAYS_PER_YEAR
        if not DAYS_PER_MONTH <= days <= MOST_STEPS / STEPS_PER_DAY:
            raise Misuse(f"from a month to 20 years can be simulated, not {self.years:g} years")
        if not 0 <= self.extension_days <= MOST_DAYS:
            raise Misuse(f"orders are extended every so many days, up to {MOST_DAYS}, or never: 0")
        if not (1 <= self.orders <= MOST_ORDERS and 1 <= self.networks <= MOST_NETWORKS):
            raise Misuse(f"up to {MOST_NETWORKS} networks of up to {MOST_ORDERS} orders can be simulated")
        if not 0 < self.order_gib <= MOST_GIB:
            raise Misuse(
                f"there is a network at least with an order, of more than 0 and up to {MOST_GIB} GiB"
            )

    @property
    def days(self) -> int:
        """How long, in epochs."""
        return round(self.years * DAYS_PER_YEAR)

    def slot_bytes(self, code: Code) -> int:
        """What one farmer keeps of one order."""
        return max(1, round(self.order_gib * GIB / code.k))
