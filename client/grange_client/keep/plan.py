"""What to do for a drive now, and what it costs. Pure: one look in, actions out.

    plan = make_plan(view, policy)
    plan.actions         in the order in which they are carried out
    plan.kept_until      "kept until 25 Nov 2027"
    plan.shortages       what the money does not reach for

With G epochs in a grid period and L = G / 3, a pack that ends in `left` epochs is

    left > G                  not due
    G >= left > 2 L           extended, if that is cheaper than to write it again
    2 L >= left > L           written again, if that is cheaper: late, since the rest of its term is lost
    L >= left                 extended, whatever it costs: too late for the other

Who else keeps the drive, or a stranger by mandate, may be first at any of it; then there is nothing to do at
the next look. A pack that a mandate covers can be extended by anyone from left = G on, so it is written again
in the few epochs before that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from grange.types import Epoch, OrderId
from grange_client.drive.chunk import ChunkId
from grange_client.keep.facts import KeepView, KeptPack
from grange_client.keep.horizon import find_horizon
from grange_client.keep.policy import KeepPolicy
from grange_client.keep.repacking import (
    Repacking,
    choose_repackings,
    choose_small,
    extension_cost,
    weigh,
)
from grange_client.keep.stages import Stage, stage_of
from grange_client.mandates import NO_MANDATE

LEAD_PART: Final = 10
"""Before a stranger may extend a pack by mandate, it is written again in so small a part of a period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extend:
    """Extend an order; farmers that do not go on are replaced, and vacant slots filled."""

    pack: KeptPack
    end: Epoch
    cost: int
    """With gas."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repack:
    """Copy what is needed of packs into a new one, and retire them with it."""

    repacking: Repacking
    reason: str

    @property
    def cost(self) -> int:
        """With reads and gas."""
        return self.repacking.cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapse:
    """Do nothing: a pack of which nothing is needed ends."""

    pack: KeptPack
    reason: str
    cost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOffMandate:
    """Take orders from their mandate, so that nobody extends what is not needed."""

    packs: tuple[KeptPack, ...]
    cost: int = 0
    reason: str = "nothing in them is needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveMandate:
    """Have anyone extend these orders, when nobody keeps the drive."""

    packs: tuple[KeptPack, ...]
    until: Epoch
    cost: int
    """Of the transaction. What extensions by it cost is paid when they come."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Have what was not proven of an order that is over paid back."""

    order: OrderId
    refund: int
    cost: int = 0
    reason: str = "what its farmers did not prove comes back"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    """Move money from the wallet into the vault."""

    amount: int
    reason: str
    cost: int = 0


Action = Extend | Repack | Lapse | TakeOffMandate | GiveMandate | Close | TopUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A pack that the money does not reach for."""

    pack: KeptPack
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepPlan:
    """What to do now."""

    epoch: Epoch
    actions: tuple[Action, ...]
    kept_until: Epoch | None
    """The first date on which something ends that is needed, once this is done; None if nothing is."""
    next_epoch: Epoch | None
    """When there may be something to do again."""
    droppable: tuple[OrderId, ...] = ()
    """Packs that the next journal may drop."""
    withdrawable: tuple[ChunkId, ...] = ()
    """Commits that the next journal withdraws."""
    shortages: tuple[Shortage, ...] = ()
    waiting: tuple[tuple[KeptPack, str], ...] = ()
    """Due, and better done later; why."""
    over: tuple[KeptPack, ...] = ()
    """Needed, and their orders are over: farmers may have deleted them."""

    @property
    def cost(self) -> int:
        """Of all actions, with gas."""
        return sum(action.cost for action in self.actions)


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    view: KeepView
    policy: KeepPolicy
    left: int
    """Money."""
    actions: list[Action] = field(default_factory=list)
    shortages: list[Shortage] = field(default_factory=list)
    waiting: list[tuple[KeptPack, str]] = field(default_factory=list)
    ends: dict[OrderId, Epoch] = field(default_factory=dict)
    """Until when what is needed is kept, by pack."""

    def pay(self, action: Extend | Repack) -> bool:
        """Take the action in if there is money for it."""
        if action.cost > self.left:
            return False
        self.left -= action.cost
        self.actions.append(action)
        return True


def make_plan(view: KeepView, policy: KeepPolicy) -> KeepPlan:
    """Decide. `view` is one look, `policy` what the owner wants."""
    stages = {
        pack.pack: stage_of(pack, epoch=view.epoch, times=view.times, is_complete=view.is_complete)
        for pack in view.packs
    }
    draft = _Draft(view=view, policy=policy, left=view.money.spendable)
    alive = [pack for pack in view.packs if pack.end > view.epoch]
    over = [pack for pack in view.packs if pack.end <= view.epoch]
    staying = [pack for pack in alive if stages[pack.pack] is Stage.LIVE]
    going = [pack for pack in alive if stages[pack.pack] is not Stage.LIVE]
    draft.ends = {pack.pack: pack.end for pack in staying}
    _let_go(draft, going)
    _rescue(draft, [pack for pack in going if pack.is_retired and (pack.is_needed or not view.is_complete)])
    _keep_on(draft, sorted(staying, key=lambda pack: (pack.end, pack.pack)))
    _give_mandate(draft, staying)
    _close(draft)
    _top_up(draft)
    ends = draft.ends.values()
    return KeepPlan(
        epoch=view.epoch,
        actions=tuple(draft.actions),
        kept_until=min(ends, default=None),
        next_epoch=_next_epoch(view),
        droppable=tuple(one for one, stage in stages.items() if stage is Stage.SETTLED),
        withdrawable=view.withdrawable if view.is_complete else (),
        shortages=tuple(draft.shortages),
        waiting=tuple(draft.waiting),
        over=tuple(pack for pack in over if pack.is_needed and not pack.is_retired),
    )


def lead_epochs(grid_epochs: int) -> int:
    """How long before anyone may extend a pack by mandate it is written again."""
    return max(2, grid_epochs // LEAD_PART)


def _let_go(draft: _Draft, going: Sequence[KeptPack]) -> None:
    """Of packs that are not needed, no order is extended, by us or by anyone."""
    view = draft.view
    unneeded = [pack for pack in going if view.is_complete and not pack.is_needed]
    covered = [pack for pack in unneeded if pack.mandate != NO_MANDATE and _is_near(view, pack)]
    if covered:
        draft.actions.append(TakeOffMandate(packs=tuple(covered)))
    for pack in unneeded:
        if pack.end - view.epoch <= view.parameters.grid_epochs:
            reason = "what is needed of it is elsewhere" if pack.is_retired else "nothing in it is needed"
            draft.actions.append(Lapse(pack=pack, reason=reason))


def _is_near(view: KeepView, pack: KeptPack) -> bool:
    """Whether anyone may soon extend it by mandate, and what relied on it before it was let go is placed."""
    grid = view.parameters.grid_epochs
    near = grid + lead_epochs(grid) - (view.times.publishing_epochs if pack.is_retired else 0)
    return pack.end - view.epoch <= near


def _rescue(draft: _Draft, late: Sequence[KeptPack]) -> None:
    """Commits came that rely on packs that are going: a backup was under way, or two devices kept at once."""
    view = draft.view
    if not late or not view.is_complete:
        # Without knowing all that is needed, they are kept as they are.
        for pack in late:
            draft.ends[pack.pack] = pack.end
            _extend_late(draft, pack)
        return
    end = _target(draft, None) or view.latest_end
    action = Repack(
        repacking=weigh(view, late, end), reason="a commit came that relies on what is about to go"
    )
    if draft.pay(action):
        return
    for pack in late:
        draft.ends[pack.pack] = pack.end
        _extend_late(draft, pack)


def _extend_late(draft: _Draft, pack: KeptPack) -> None:
    if pack.end - draft.view.epoch <= draft.view.times.leaning_epochs:
        _extend(draft, pack, Epoch(pack.end + draft.view.parameters.grid_epochs), "it could not be copied")


def _keep_on(draft: _Draft, staying: Sequence[KeptPack]) -> None:
    """Extend what is due, or write it again."""
    view = draft.view
    grid, leaning = view.parameters.grid_epochs, view.times.leaning_epochs
    end = _target(draft, staying)
    due = [pack for pack in staying if pack.end - view.epoch <= grid]
    early = [
        pack
        for pack in staying
        if pack.mandate != NO_MANDATE and grid < pack.end - view.epoch <= grid + lead_epochs(grid)
    ]
    written: set[OrderId] = set()
    if view.is_complete and end is not None:
        possible = [pack for pack in (*due, *early) if pack.end - view.epoch > leaning]
        for repacking in choose_repackings(view, possible, end):
            written |= _write_again(draft, repacking)
        for repacking in choose_small(view, [p for p in staying if p.pack not in written], end):
            if _may_repack(view) and draft.pay(_small_repack(repacking)):
                written |= _replaced(draft, repacking)
    for pack in due:
        if pack.pack not in written:
            wanted = max(end or 0, pack.end + grid)
            _extend(draft, pack, Epoch(min(wanted, view.latest_end)), _why_extended(draft, pack))


def _write_again(draft: _Draft, repacking: Repacking) -> set[OrderId]:
    """Now, or later; gives the packs that are not to be extended meanwhile."""
    view = draft.view
    grid, leaning = view.parameters.grid_epochs, view.times.leaning_epochs
    packs = {pack.pack for pack in repacking.packs}
    left = min(pack.end - view.epoch for pack in repacking.packs)
    is_covered = any(pack.mandate != NO_MANDATE for pack in repacking.packs)
    if left > 2 * leaning and not is_covered:
        why = "it will be written again with less in it, which is cheaper later"
    elif not _may_repack(view):
        why = "another device is at it"
    elif not _is_our_turn(view, left - grid if is_covered else left - leaning):
        why = "another device may be at it, and goes first"
    elif draft.pay(Repack(repacking=repacking, reason=_why_repacked(repacking))):
        return _replaced(draft, repacking)
    else:
        return set()
    draft.waiting += [(pack, why) for pack in repacking.packs]
    return packs


def _may_repack(view: KeepView) -> bool:
    grid = view.parameters.grid_epochs
    return view.lease is None or not view.lease.is_of_another(view.device, view.epoch, grid)


def _is_our_turn(view: KeepView, left: int) -> bool:
    """The last holder of the lease goes first, others in the second half of the time for it."""
    if view.lease is None or view.lease.device == view.device:
        return True
    return left <= view.times.leaning_epochs // 2


def _replaced(draft: _Draft, repacking: Repacking) -> set[OrderId]:
    packs = {pack.pack for pack in repacking.packs}
    for one in packs:
        draft.ends.pop(one, None)
    if repacking.copied_bytes:
        draft.ends[min(packs)] = repacking.end
    return packs


def _small_repack(repacking: Repacking) -> Repack:
    return Repack(repacking=repacking, reason=f"{len(repacking.packs)} small packs become one")


def _why_repacked(repacking: Repacking) -> str:
    garbage = [pack for pack in repacking.packs if pack.is_mostly_garbage]
    if len(garbage) == len(repacking.packs):
        return "most of what is paid for is garbage"
    return "small packs become one" if not garbage else "garbage goes, and small packs become one"


def _why_extended(draft: _Draft, pack: KeptPack) -> str:
    vacant = f", and {pack.vacant} of its slots are vacant" if pack.vacant else ""
    return f"it ends in {pack.end - draft.view.epoch} epochs{vacant}"


def _extend(draft: _Draft, pack: KeptPack, end: Epoch, reason: str) -> None:
    """Extend a pack to an end, or as far as the money goes."""
    view, grid = draft.view, draft.view.parameters.grid_epochs
    for date in range(end, pack.end, -grid):
        cost = extension_cost(view.costs, pack, Epoch(date))
        if draft.pay(Extend(pack=pack, end=Epoch(date), cost=cost, reason=reason)):
            draft.ends[pack.pack] = Epoch(date)
            return
    least = extension_cost(view.costs, pack, Epoch(pack.end + grid))
    draft.shortages.append(Shortage(pack=pack, missing=max(1, least - draft.left)))


def _target(draft: _Draft, staying: Sequence[KeptPack] | None) -> Epoch | None:
    """The date until which the drive is kept: the market's last, or as far as the policy and the money go.
    None if there is not even the money for one period more."""
    view, policy = draft.view, draft.policy
    grid = view.parameters.grid_epochs
    latest = view.latest_end
    if policy.term_epochs is not None:
        latest = Epoch(min(latest, -(-(view.epoch + policy.term_epochs) // grid) * grid))
    if staying is None:
        staying = [pack for pack in view.packs if pack.is_needed and pack.end > view.epoch]
    earliest = Epoch((view.epoch // grid + 1) * grid)
    return find_horizon(
        staying,
        spendable=draft.left,
        earliest=earliest,
        latest=max(latest, earliest),
        grid_epochs=grid,
        costs=view.costs,
    )


def _give_mandate(draft: _Draft, staying: Sequence[KeptPack]) -> None:
    """For the time in which nobody runs this; given again when half of its time is over."""
    view, ahead = draft.view, draft.policy.mandate_epochs
    if ahead is None:
        return
    going = {
        pack.pack for action in draft.actions if isinstance(action, Repack) for pack in action.repacking.packs
    }
    grid = view.parameters.grid_epochs
    until = Epoch(-(-(view.epoch + ahead) // grid) * grid)
    bare = [
        pack
        for pack in staying
        # One that is paid for until then needs none.
        if pack.pack not in going
        and draft.ends.get(pack.pack, pack.end) < until
        and (pack.mandate == NO_MANDATE or 2 * (pack.mandate_until - view.epoch) < ahead)
    ]
    if bare:
        draft.actions.append(
            GiveMandate(
                packs=tuple(bare),
                until=until,
                cost=view.costs.mandate_gas(len(bare)),
                reason="so that it lives on while nobody runs this",
            )
        )


def _close(draft: _Draft) -> None:
    draft.actions += [
        Close(order=order, refund=refund)
        for order, refund in sorted(draft.view.refunds.items())
        if refund > 0
    ]


def _top_up(draft: _Draft) -> None:
    """Have in the vault what this takes, and what the next extensions by mandate may."""
    view = draft.view
    spending = view.money.spendable - draft.left
    reserve = sum(pack.mandate_cost for pack in view.packs if pack.is_needed and not pack.is_retired)
    missing = spending + reserve - view.money.vault
    may_move = min(view.money.wallet, max(0, view.money.spendable - view.money.vault))
    amount = min(missing, may_move)
    if amount > 0:
        reason = (
            "for what is done now, and the next extensions by mandate" if reserve else "for what is done now"
        )
        draft.actions.insert(0, TopUp(amount=amount, reason=reason))


def _next_epoch(view: KeepView) -> Epoch | None:
    """When one of the packs comes to the next of its dates."""
    grid, times = view.parameters.grid_epochs, view.times
    steps = (
        grid + lead_epochs(grid),
        grid,
        2 * times.leaning_epochs,
        times.leaning_epochs,
        times.leaning_epochs - times.publishing_epochs,
    )
    dates = [pack.end - step for pack in view.packs for step in steps]
    return min((Epoch(date) for date in dates if date > view.epoch), default=None)
