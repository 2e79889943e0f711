"""One network under one code, step by step: farmers go, are evicted, and repairers do what the policy says.

    each step     evictions, farmers that leave, passes that end
    each day      terms end, the policy is asked about every order, passes begin, renters and mandates extend

Decides the order of things and who repairs: farmers with a repairer that are online and not at work already,
by chance, when their turn has come; the orders with the fewest spare slots come first. Leaves what happens to
farmers to `history`, when renters extend to `extensions`, and mandates to
`mandates`, what farmers ask to `farmer_prices`, what a repairer wants to `judgement`, when the
first begins to `turns`, how long it takes to `lines`.
"""

import numpy as np

from grange.units import GIB
from grange_simulate.assumptions import STEPS_PER_DAY, Assumptions, Code
from grange_simulate.extensions import Extensions
from grange_simulate.farmer_prices import FarmerPrices, Rates
from grange_simulate.groups import Ints
from grange_simulate.history import Bools, History, drawn
from grange_simulate.judgement import Judgement
from grange_simulate.lines import Floats, Passes, Queues
from grange_simulate.mandates import Mandates
from grange_simulate.orders import Orders
from grange_simulate.placement import fitting, placed
from grange_simulate.running import Running
from grange_simulate.tally import Counter, Tally
from grange_simulate.turns import Turns

_ASKED = 4
"""How many farmers are asked for each slot that is to be rebuilt, before it is left vacant."""
_HISTORY, _NETWORK = 0, 1


def simulated(assumptions: Assumptions, codes: tuple[Code, ...], seed: int, network: int) -> list[Tally]:
    """The network of this number under each of these codes, with the same history for all."""
    random = np.random.default_rng([seed, network, _HISTORY])
    history = drawn(assumptions.farmers, assumptions.rules.max_misses, assumptions.days, random)
    tallies = []
    for code in codes:
        chance = np.random.default_rng([seed, network, _NETWORK, code.k, code.n])
        tallies.append(_Network(assumptions, code, history, chance).lived())
    return tallies


class _Network:
    def __init__(
        self, assumptions: Assumptions, code: Code, history: History, random: np.random.Generator
    ) -> None:
        farmers = assumptions.farmers.count
        self._code = code
        self._history = history
        self._random = random
        self._slot_bytes = assumptions.slot_bytes(code)
        self._judgement = Judgement.of(code, self._slot_bytes, assumptions.prices, assumptions.rules)
        self._repairs = np.zeros(farmers, dtype=np.bool_)
        self._repairs[: max(1, round(farmers * assumptions.farmers.repairing))] = True
        random.shuffle(self._repairs)
        self._turns = Turns(
            assumptions.orders,
            code=code,
            farmers=farmers,
            repairers=int(self._repairs.sum()),
            slot_bytes=self._slot_bytes,
        )
        self._queues = Queues(assumptions.lines, farmers, random)
        self._orders = Orders(code, placed(assumptions.orders, code.n, history.groups, random), farmers)
        self._counter = Counter(code, assumptions.orders, history.steps, history.shock_steps)
        self._generation = np.zeros(farmers, dtype=np.int64)
        """Counts the farmers that each seat has seen, so that one that left on the way is noticed."""
        self._busy_until = np.zeros(farmers)
        self._repairing = np.zeros(assumptions.orders, dtype=np.bool_)
        self._running = Running()
        nothing = np.array([], dtype=np.int64)
        self._counted_on = self._orders.live
        """As the policy counts live slots."""
        self._verdicts = self._judgement.verdicts(nothing, nothing, nothing, self._counted_on)
        self._known_lost = np.zeros(assumptions.orders, dtype=np.bool_)
        self._extensions = Extensions(assumptions.orders, assumptions.extension_days, random)
        self._mandates = Mandates(
            code,
            assumptions.orders,
            assumptions.mandate.term_days,
            random,
            max_misses=assumptions.rules.max_misses,
        )
        self._farmer_prices = FarmerPrices(assumptions.prices, farmers, random)
        everyone = self._orders.holders(np.arange(assumptions.orders))
        self._rates = Rates(self._farmer_prices, everyone, assumptions.mandate.headroom)

    def lived(self) -> Tally:
        """All steps."""
        for step in range(self._history.steps):
            if step in self._history.shock_steps:
                self._counter.add(shock_at_risk=int((~self._orders.lost).sum()))
            self._lose(step)
            self._end(step)
            if step % STEPS_PER_DAY == 0:
                self._end_terms(step)
                self._begin(self._judged(step), step)
                self._extend(step)
                self._extend_by_mandate(step)
        return self._counter.tally()

    def _lose(self, step: int) -> None:
        evicted, gone = self._history.evicted[step], self._history.gone[step]
        self._generation[evicted] += 1
        self._generation[gone] += 1
        self._lost(self._orders.evict(evicted, step) + self._orders.lose_data(gone, step), step)

    def _lost(self, losses: int, step: int) -> None:
        if losses:
            self._counter.lose(step, losses)
            fresh = self._orders.lost & ~self._known_lost
            self._counter.add(unpaid_losses=int((fresh & self._verdicts.unpaid).sum()))
            self._known_lost |= fresh

    def _judged(self, step: int) -> Ints:
        """Orders for which the policy wants a pass, the most urgent first."""
        orders = self._orders
        there = ~orders.lost
        self._counter.add(order_days=int(there.sum()), slot_days=int(orders.live[there].sum()))
        kept = orders.holders(np.arange(orders.count))
        late = (self._history.late[step // STEPS_PER_DAY][kept] & (kept >= 0)).sum(axis=1)
        self._counted_on = np.maximum(orders.live - late, np.minimum(orders.live, self._code.k))
        self._verdicts = self._judgement.verdicts(
            orders.order_of(orders.vacant),
            step - orders.since[orders.vacant],
            self._mandates.left_days(orders.vacant, step // STEPS_PER_DAY),
            self._counted_on,
        )
        self._counter.add(unpaid_days=int((self._verdicts.unpaid & there).sum()))
        wanted = np.flatnonzero(self._verdicts.acts & there & ~self._repairing)
        slots = self._verdicts.slots[wanted]
        self._turns.want(wanted, slots, self._eager(wanted), step, self._random)
        wanted = self._random.permutation(wanted)
        urgent_first: Ints = wanted[np.argsort(self._counted_on[wanted], kind="stable")]
        return urgent_first

    def _begin(self, waiting: Ints, step: int) -> None:
        online = self._history.online[step]
        free = np.flatnonzero(online & self._repairs & (self._busy_until <= step))
        ready = self._turns.come(waiting, step)
        chosen = waiting[ready][: len(free)]
        if not len(chosen):
            return
        repairers = self._random.choice(free, len(chosen), replace=False)
        holders = self._orders.holders(chosen)
        sources = self._sources(chosen, holders, online, step)
        rows, slots = self._slots_to_rebuild(chosen, step)
        seats = self._takers(rows, self._rates.of(slots), repairers, holders, step)
        found = np.bincount(rows[seats >= 0], minlength=len(chosen))
        able = (sources[:, -1] >= 0) & (found > 0)
        begun = (seats >= 0) & able[rows]
        if not able.any():
            return
        row_of = np.cumsum(able) - 1
        passes = Passes(
            repairers=repairers[able],
            sources=sources[able],
            slot_passes=row_of[rows[begun]],
            slot_seats=seats[begun],
        )
        self._run(chosen[able], passes, slots[begun], step, idle=len(free) - int(able.sum()))

    def _eager(self, orders: Ints) -> Bools:
        eager: Bools = self._judgement.margins[self._counted_on[orders]] == 1
        return eager

    def _sources(self, chosen: Ints, holders: Ints, online: Bools, step: int) -> Ints:
        """For each order the k seats with the least to send; the last is -1 where fewer than k can."""
        sound = self._orders.sound.reshape(self._orders.count, self._code.n)[chosen]
        can = (holders >= 0) & sound & online[holders]
        backlog = self._queues.backlog(step)[holders] + 1e-3 * self._random.random(holders.shape)
        order = np.argsort(np.where(can, backlog, np.inf), axis=1)[:, : self._code.k]
        return np.where(
            np.take_along_axis(can, order, axis=1), np.take_along_axis(holders, order, axis=1), -1
        )

    def _slots_to_rebuild(self, chosen: Ints, step: int) -> tuple[Ints, Ints]:
        """Rows in `chosen`, and slots, as the policy says."""
        orders, vacant = self._orders, self._orders.vacant
        row_of = np.full(orders.count, -1)
        row_of[chosen] = np.arange(len(chosen))
        vacant = vacant[row_of[orders.order_of(vacant)] >= 0]
        of = orders.order_of(vacant)
        left_days = self._mandates.left_days(vacant, step // STEPS_PER_DAY)
        bounties = self._judgement.bounties(step - orders.since[vacant], left_days)
        joins = self._judgement.joins(of, bounties, self._counted_on)
        vacant = vacant[joins | self._verdicts.takes_all[of]]
        return row_of[orders.order_of(vacant)], vacant

    def _takers(self, rows: Ints, rates: Floats, repairers: Ints | None, holders: Ints, step: int) -> Ints:
        """A seat for each slot of such a rate, -1 where none that was asked fits. A repairer itself is asked
        first."""
        day = step // STEPS_PER_DAY
        seats = np.full(len(rows), -1)
        there = np.flatnonzero(self._history.online[step] & ~self._history.late[day])
        asks = self._farmer_prices.on(day)
        column = self._code.n + _rank_in_row(rows)
        width = int(column.max(initial=self._code.n)) + 1
        table = np.full((len(holders), width), -1)
        """Who keeps the order now, and behind them who takes its slots."""
        table[:, : self._code.n] = holders
        for turn in range(_ASKED):
            open_slots = np.flatnonzero(seats < 0)
            if not len(open_slots):
                break
            wanted = rows[open_slots]
            asked = self._farmer_prices.draw(there, rates[open_slots], day, self._random)
            if turn == 0 and repairers is not None:
                first = column[open_slots] == self._code.n
                asked[first] = repairers[wanted[first]]
            fits = (asked >= 0) & (asks[asked] <= rates[open_slots])
            fits[fits] = fitting(table, wanted[fits], asked[fits], self._history.groups)
            seats[open_slots[fits]] = asked[fits]
            table[wanted[fits], column[open_slots[fits]]] = asked[fits]
        return seats

    def _extend(self, step: int) -> None:
        """Renters whose orders are due read them and fill their vacant slots, at once: a term has months."""
        due = self._extensions.due(step // STEPS_PER_DAY)
        due = due[~self._orders.lost[due] & ~self._repairing[due]]
        if not len(due):
            return
        online = self._history.online[step]
        holders = self._orders.holders(due)
        sources = self._sources(due, holders, online, step)
        readable = sources[:, -1] >= 0
        vacant = self._orders.vacant
        row_of = np.full(self._orders.count, -1)
        row_of[due[readable]] = np.arange(int(readable.sum()))
        vacant = vacant[row_of[self._orders.order_of(vacant)] >= 0]
        rows = row_of[self._orders.order_of(vacant)]
        any_rate = np.full(len(rows), np.inf)
        seats = self._takers(rows, any_rate, None, holders[readable], step)
        filled = seats >= 0
        read = np.unique(rows[filled])
        self._extensions.extended(due[readable])
        self._queues.burden(sources[readable][read], np.full(len(read), self._slot_bytes / GIB), step)
        self._counter.add(
            filled_by_renters=int(filled.sum()),
            read_by_renters_bytes=len(read) * self._code.k * self._slot_bytes,
        )
        self._orders.refill(vacant[filled], seats[filled])
        self._mandates.extend_whole(due[readable], step // STEPS_PER_DAY)
        kept = self._orders.holders(due[readable])
        self._rates.agree(due[readable], kept, kept >= 0, step // STEPS_PER_DAY)
        self._rates.bound(due[readable])

    def _extend_by_mandate(self, step: int) -> None:
        """Of orders that are due those go on of which enough farmers do, each for what it asks."""
        day = step // STEPS_PER_DAY
        due = self._mandates.due(day)
        due = due[~self._orders.lost[due]]
        kept = self._orders.holders(due)
        dear = self._rates.too_dear(due, kept, day)
        silent = (kept >= 0) & ~self._history.online[step][kept]
        missing = (kept < 0) | silent | dear
        extended = self._mandates.extend(due, missing, silent, day)
        missing, kept = missing[extended], kept[extended]
        self._rates.agree(due[extended], kept, ~missing, day)
        self._counter.add(extended=len(kept), began_vacant=int(missing.sum()))

    def _end_terms(self, step: int) -> None:
        """What was left out begins vacant, and what was not extended is over."""
        over, begin_vacant = self._mandates.end(step // STEPS_PER_DAY)
        not_extended = self._orders.give_up(over)
        self._counter.add(not_extended=not_extended)
        self._lost(not_extended + self._orders.vacate(begin_vacant, step), step)

    def _run(self, chosen: Ints, passes: Passes, slots: Ints, step: int, *, idle: int) -> None:
        ends = self._queues.ends(passes, self._slot_bytes / GIB, step)
        wasted = self._turns.wasted(chosen, ends - step, idle)
        self._queues.burden(passes.sources, wasted * self._slot_bytes / GIB, step)
        wasted_bytes = round(float(wasted.sum()) * self._code.k * self._slot_bytes)
        fetch = self._judgement.fetch_cost
        self._busy_until[passes.repairers] = ends
        self._repairing[chosen] = True
        end_steps = np.maximum(np.ceil(ends).astype(np.int64), step + 1)
        self._counter.add(
            passes=len(chosen),
            read_bytes=len(chosen) * self._code.k * self._slot_bytes + wasted_bytes,
            wasted_bytes=wasted_bytes,
            written_bytes=len(slots) * self._slot_bytes,
            cost=len(chosen) * self._judgement.cost.once
            + len(slots) * self._judgement.cost.per_slot
            + round(float(wasted.sum()) * fetch),
        )
        self._running.add(
            end_steps=end_steps, orders=chosen, passes=passes, slots=slots, generation=self._generation
        )

    def _end(self, step: int) -> None:
        ended = self._running.ended(step, self._generation)
        if ended is None:
            return
        orders = self._orders
        self._repairing[ended.orders] = False
        there = ~orders.lost[orders.order_of(ended.slots)]
        slots, seats = ended.slots[there], ended.seats[there]
        waited = step - orders.since[slots]
        left_days = self._mandates.left_days(slots, step // STEPS_PER_DAY)
        self._counter.refilled(waited, self._judgement.bounties(waited, left_days))
        self._counter.add(broken_passes=ended.broken)
        orders.refill(slots, seats)


def _rank_in_row(rows: Ints) -> Ints:
    """How many entries of the same row come before each."""
    order = np.argsort(rows, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows))])[rows[order]] if len(rows) else rows
    rank = np.empty_like(rows)
    rank[order] = np.arange(len(rows)) - starts
    return rank
