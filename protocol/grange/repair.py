"""When a repairer rebuilds vacant slots, and when it waits: the policy of the node and of the simulation.

    live slots      k ........... k + eager_spares(k, n) ........... n
    decision        | eager: act as soon   | lazy: act when the bounties
                    | as it is not a loss     | are LAZY_MARGIN x the cost

A pass fetches k pieces of every segment and rebuilds any number of slots from them: all slots that it
rebuilds share its cost, and waiting for more of them makes each cheaper. Bounties grow with time, too.
Decides whether to act, with which slots, and which of several repairers begins. Leaves to the caller to find
out what is vacant, what fetching costs, and who takes the slots. docs/durability.md draws it and says what it
achieves.

Nobody repairs at a loss. Where the bounties of an order in danger never cover a pass, `decide` says UNPAID
and it is the renter's turn: to repair it with a repairer of its own, or to store it again.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from grange.errors import Misuse
from grange.keccak import keccak256
from grange.turns import turn_blocks
from grange.types import Address, OrderId
from grange.units import GIB, MAX_SLOTS

LAZY_MARGIN: Final = 2
"""What a pass must bring while the order is healthy, in multiples of its cost."""

EPOCH_SENT_BYTES: Final = 96 * GIB
"""What a home line sends in an epoch of a day, at 10 Mbit/s: by it the length of a pass is estimated."""
READ_TO_SENT: Final = 4
"""How much faster it reads."""

RECOVERY_SHARE: Final = 4
"""In the first of so many parts of its auction a slot declared lost may be taken back by its farmer, as
in contracts/modules/Recoveries.sol. Who reads for its repair by then may have paid for nothing."""

LAZY_PASSES: Final = 4
EAGER_PASSES: Final = 3
"""In the time of so many passes twice as many repairers may begin."""
MOMENTS_PER_EPOCH: Final = 100
"""A quarter of an hour of a day: a transaction is mined and seen."""


def last_recovery_block(lost_block: int, auction_blocks: int) -> int:
    """Up to which block its farmer may take back a slot that it declared lost."""
    return lost_block + auction_blocks // RECOVERY_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacancy:
    """A slot that nobody keeps."""

    slot: int
    since_block: int
    full_bounty: int
    """Base units offered when the auction is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """An order as a repairer sees it. Raises Misuse for what cannot be."""

    k: int
    n: int
    live: int
    """Slots to fetch from and to count on, as `counted_on` has it."""
    vacancies: tuple[Vacancy, ...]
    end_block: int
    """The first block after the order."""

    def __post_init__(self) -> None:
        if not (1 <= self.k <= self.n <= MAX_SLOTS and 0 <= self.live <= self.n - len(self.vacancies)):
            raise Misuse(f"{self.live} live and {len(self.vacancies)} vacant slots in {self.k} of {self.n}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PassCost:
    """What one pass costs, in base units."""

    once: int
    """However many slots are rebuilt: k pieces of every segment, and the transaction."""
    per_slot: int
    """What each rebuilt slot adds."""

    def of(self, slots: int) -> int:
        """The cost of a pass that rebuilds so many slots."""
        return self.once + slots * self.per_slot


class Why(StrEnum):
    """Why a repairer waits."""

    WHOLE = "nothing is vacant"
    TOO_FEW = "fewer than k slots are live: nobody can rebuild it now"
    ENDING = "the order ends"
    GROWING = "the bounties will cover it later"
    UNPAID = "the bounties of these slots will not cover it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Rebuild these slots in one pass now."""

    slots: tuple[int, ...]
    bounty: int
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Do nothing now."""

    why: Why
    again_block: int | None = None
    """When it will act if nothing changes until then; None if something has to change first."""


def eager_spares(k: int, n: int) -> int:
    """With so many spare slots (live - k) or fewer, an order is in danger: 2/3 of n - k, rounded up."""
    return -(-2 * (n - k) // 3)


def is_eager(live: int, k: int, n: int) -> bool:
    """Whether an order with so many live slots, as `counted_on` has it, is in danger."""
    return live - k <= eager_spares(k, n)


def margin(live: int, k: int, n: int) -> int:
    """What a pass must bring, in multiples of its cost: 1 when eager, LAZY_MARGIN when lazy."""
    return 1 if is_eager(live, k, n) else LAZY_MARGIN


def counted_on(live: int, late: int, k: int) -> int:
    """How many slots the policy counts on: a late farmer may be about to vanish, but as long as it has not,
    its slot may be among the last k to read from."""
    return max(live - late, min(live, k))


def collateral_epochs_rounded_down(*, stake: int, committed_rate: int, collateral_epochs: int) -> int:
    """How many epochs of its pay each slot of a lapsed farmer has of its stake once it is evicted, whenever
    that is; as the contract reckons it, which takes an epoch of pay for the eviction first.

    0 for a farmer that keeps nothing: it has no slot to which that could matter.
    """
    if committed_rate == 0:
        return 0
    return min(max(0, stake - committed_rate) // committed_rate, collateral_epochs)


def full_bounty_rounded_down(
    *, rate: int, collateral: int, left_epochs: int, loss_per_miss: int, collateral_epochs: int
) -> int:
    """The most that is ever offered for a slot with so many epochs left; as `Bounty.full` in the contract.

    `loss_per_miss` and `collateral_epochs` are in epochs of pay. It falls in the last epochs of an order: who
    waits for more in health may wait in vain then, but in danger nobody waits for more than the cost.
    """
    most = most_bounty_rounded_down(
        rate=rate,
        epochs=max(0, left_epochs),
        loss_per_miss=loss_per_miss,
        collateral_epochs=collateral_epochs,
    )
    return min(collateral, most)


def most_bounty_rounded_down(*, rate: int, epochs: int, loss_per_miss: int, collateral_epochs: int) -> int:
    """The most that a bounty can be with so many epochs left, whatever the collateral: what the contract sets
    aside for a slot that begins vacant."""
    return rate * min(loss_per_miss * epochs, collateral_epochs) // 2


def bounty_rounded_down(full: int, waited_blocks: int, auction_blocks: int) -> int:
    """What is offered for a slot: from nothing to `full`, in a straight line over the auction.

    Raises Misuse when a part is negative or the auction takes no time.
    """
    if full < 0 or waited_blocks < 0 or auction_blocks < 1:
        raise Misuse(f"a bounty of {full} after {waited_blocks} of {auction_blocks} blocks")
    return full if waited_blocks >= auction_blocks else full * waited_blocks // auction_blocks


def cost_rounded_up(
    *, k: int, slot_bytes: int, egress_price_per_gib: int, gas_once: int, gas_per_slot: int
) -> PassCost:
    """The cost of a pass. Prices and gas in base units; a repairer that holds a slot itself passes k - 1."""
    fetch = -(-k * slot_bytes * egress_price_per_gib // GIB)
    return PassCost(once=fetch + gas_once, per_slot=gas_per_slot)


def decide(need: Need, cost: PassCost, *, auction_blocks: int, now_block: int) -> Act | Wait:
    """Whether to rebuild now, and what. Never at a loss: an Act's bounty is at least its cost."""
    if not need.vacancies:
        return Wait(why=Why.WHOLE)
    if need.live < need.k:
        return Wait(why=Why.TOO_FEW)
    if now_block >= need.end_block:
        return Wait(why=Why.ENDING)
    act = _best_pass(need, cost, auction_blocks, now_block)
    if act is not None:
        return act
    settled_block = max(vacancy.since_block for vacancy in need.vacancies) + auction_blocks
    last_block = min(settled_block, need.end_block - 1)
    if last_block <= now_block or _best_pass(need, cost, auction_blocks, last_block) is None:
        return Wait(why=Why.UNPAID)
    return Wait(why=Why.GROWING, again_block=_first_block(need, cost, auction_blocks, now_block, last_block))


def paying_since(need: Need, cost: PassCost, *, auction_blocks: int, now_block: int) -> int:
    """When the pass that pays now came to pay, by what is vacant and live now: from then on repairers take
    their turns. Slots that fall vacant meanwhile do not make them begin again. `now_block` if nothing
    pays."""
    oldest_block = min((vacancy.since_block for vacancy in need.vacancies), default=now_block)
    if oldest_block >= now_block or _best_pass(need, cost, auction_blocks, now_block) is None:
        return now_block
    if _best_pass(need, cost, auction_blocks, oldest_block) is not None:
        return oldest_block
    return _first_block(need, cost, auction_blocks, oldest_block, now_block)


def doubling_blocks(
    need: Need, *, slot_bytes: int, slots: int, epoch_blocks: int, read_epochs: int = 1
) -> int:
    """In how many blocks as many repairers more may begin as may by then.

    Several times as long as a pass that rebuilds so many slots takes at a common line, and never less than a
    moment for the transaction. Repairers that read at once make each other slow, so more begin: with half of
    these times the simulation ends in a jam in which farmers send the same slots a hundred times. While an
    order is healthy its pieces are read in `read_epochs` epochs (`grange.reads`), so a pass lasts one less at
    least.
    """
    eager = is_eager(need.live, need.k, need.n)
    passes = EAGER_PASSES if eager else LAZY_PASSES
    pass_bytes = max(slots, -(-need.k // READ_TO_SENT)) * slot_bytes
    pass_blocks = passes * pass_bytes * epoch_blocks // EPOCH_SENT_BYTES
    waiting_blocks = 0 if eager else (read_epochs - 1) * epoch_blocks
    return max(1, epoch_blocks // MOMENTS_PER_EPOCH, pass_blocks, waiting_blocks)


def first_block(
    *,
    order: OrderId,
    slot: int,
    repairer: Address,
    since_block: int,
    repairers: int,
    doubling_blocks: int,
) -> int:
    """The first block in which this repairer may begin, when several want the same pass.

    `slot` is the lowest of the pass; `since_block` is when the pass came to pay; `repairers` is how many
    there may be at most.
    """
    if not 0 <= slot < MAX_SLOTS:
        raise Misuse(f"an order has no slot {slot}")
    rank = int.from_bytes(keccak256(order + bytes([slot]) + bytes.fromhex(repairer[2:])))
    return since_block + 1 + turn_blocks(rank, contenders=repairers, doubling_blocks=doubling_blocks)


def _best_pass(need: Need, cost: PassCost, auction_blocks: int, block: int) -> Act | None:
    """The pass to make if it were this block. What it finds once, it finds in every later block.

    A slot joins when its bounty pays for what the slot adds. In danger, all join if all together are no loss.
    """
    times = margin(need.live, need.k, need.n)
    offers = {
        vacancy.slot: bounty_rounded_down(
            vacancy.full_bounty, max(0, block - vacancy.since_block), auction_blocks
        )
        for vacancy in need.vacancies
    }
    joining = {slot: bounty for slot, bounty in offers.items() if bounty >= times * cost.per_slot}
    for chosen in (offers, joining) if times == 1 else (joining,):
        bounty = sum(chosen.values())
        if chosen and bounty >= times * cost.of(len(chosen)):
            return Act(slots=tuple(sorted(chosen)), bounty=bounty, cost=cost.of(len(chosen)))
    return None


def _first_block(need: Need, cost: PassCost, auction_blocks: int, low: int, high: int) -> int:
    """The first block in (low, high] with a pass to make: there is none at `low`, and one at `high`."""
    while high - low > 1:
        middle = (low + high) // 2
        if _best_pass(need, cost, auction_blocks, middle) is None:
            low = middle
        else:
            high = middle
    return high
