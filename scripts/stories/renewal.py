"""The third story: an order that outlives its renter's attention.

A renter stores a directory for one term, gives a mandate, authorizes a device with a cap, and closes the lid.
The device stores until its cap stops it. Three times the order is extended by repairers, for a fee out of the
renter's vault, and no program of the renter runs. Meanwhile a farmer hands over all it keeps to others, with
no forfeit, and leaves with its whole stake. A second computer that knows only the recovery phrase reads
everything back. Nothing is played: these are the devnet, the nodes, the repairers, the client and their
commands. Only time is hurried: once all have proven, an epoch's other blocks come now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from grange.chain import Chain, Farmer, Head, TransactionReverted
from grange.chain.market_pins import read_pins
from grange.types import Epoch, FarmerId, OrderId
from grange.units import format_count
from grange_client.delegates import Limits
from grange_client.errors import NotEnoughMoney
from grange_client.keys.config import Config, load, pins_path, set_up_delegate
from grange_client.keys.identity_file import DelegateSecret
from grange_client.keys.recovery_phrase import new_phrase
from grange_client.mandates import propose
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet.devnet import Devnet
from grange_devnet.errors import DevnetError
from grange_devnet.fleet import Fleet
from grange_devnet.repairers import RepairerProcess
from stories import tale
from stories.commands import run_farm
from stories.stage import table
from stories.tale import BLOCK_SECONDS, POLL_SECONDS, Setting, Tale, count_sent

FARMERS = 7
REPAIRERS = 2
K, N = 2, 4
RENEWALS = 3
FEE_TOKENS = 1
DEPOSIT_TOKENS = 200
SMALL_BYTES = 1 << 16
"""What the device stores, again and again."""
SMALL_ORDERS = 2.5
"""So many of these orders its cap pays for."""
MAX_TRIES = 8
LEAST_BLOCKS = 5
"""An epoch's first blocks come by the clock, so that farmers and repairers have time."""
ID_CHARACTERS = 8


@dataclass(slots=True, kw_only=True)
class Outcome(tale.Outcome):
    """What happened, and whether it is what should happen."""

    renewals: int = 0
    fees: int = 0
    fee: int = 0
    """For each extension."""
    all_paid: bool = False
    """Whether each repairer has earned the fees of what it extended."""
    renter_sent: int = 0
    """Transactions of the renter's account while it was away."""
    device_orders: int = 0
    device_spent: int = 0
    device_cap: int = 0
    stopped: bool = False
    leaver: FarmerId = FarmerId(0)  # noqa: RUF009 - a number
    handed_over: int = 0
    kept_rate: int = 0
    """What it would still be paid an epoch, for slots that nobody took."""
    stake: int = 0
    taken_out: int = 0
    """What the farmer that left has in its wallet afterwards, more than it had and has earned since."""
    missed: int = 0
    """What it lost of its stake for epochs that it had missed: on a busy machine that happens."""
    forfeited: int = 0
    """What its takers cost it."""

    @property
    def renter_online(self) -> bool:
        """Whether the renter had a part in the renewals."""
        return self.renter_sent > 0

    @property
    def stopped_by_cap(self) -> bool:
        """Whether the device stored until its cap stopped it, and no further."""
        return self.stopped and self.device_orders > 0 and 0 < self.device_spent <= self.device_cap

    @property
    def claims(self) -> dict[str, bool]:
        """What the story claims, and whether it was true."""
        return {
            f"the order was extended {RENEWALS} times": self.renewals >= RENEWALS,
            "each extension was paid its fee": (self.all_paid and self.fees == self.renewals * self.fee),
            "the renter was asleep": not self.renter_online,
            "the device stored until its cap stopped it": self.stopped_by_cap,
            "the farmer that left handed over all that it kept": self.handed_over > 0 == self.kept_rate,
            "it left with its whole stake": 0 < self.stake == self.taken_out + self.missed,
            "leaving cost it nothing": not self.forfeited,
            "everything came back byte for byte": self.identical,
        }

    def as_json(self) -> dict[str, object]:
        """The one line that --json prints; amounts in token base units, farmers by id."""
        return {
            "renewals": self.renewals,
            "renter_online_during_renewals": self.renter_online,
            "fees_paid": self.fees,
            "delegate_stopped_by_cap": self.stopped_by_cap,
            "delegate_orders": self.device_orders,
            "delegate_spent": self.device_spent,
            "delegate_cap": self.device_cap,
            "handed_over_slots": self.handed_over,
            "farmer_left": self.leaver,
            "stake_taken_out": self.taken_out,
            "stake_lost_in_missed_epochs": self.missed,
            "identical": self.identical,
            "files": self.files,
            "bytes": self.size_bytes,
            "seconds": self.seconds,
        }


class Renewal(Tale[Outcome]):
    """One telling of the story."""

    def __init__(self, setting: Setting, console: Console) -> None:
        super().__init__(setting, console, Outcome())
        self._links: list[OrderId] = []
        """The order, and what extends it."""

    async def play(self) -> Outcome:
        """Tell it, and say what came of it."""
        stage, outcome = self._stage, self._outcome
        stage.console.print(
            "[bold]Grange[/]: what is stored lives on, and its owner may be asleep.", highlight=False
        )
        async with AsyncExitStack() as stack:
            devnet = await self._start_chain(stack)
            fleet, repairers = await self._start_people(stack, devnet, farmers=FARMERS, repairers=REPAIRERS)
            phrase, config, source = await self._store(devnet)
            await self._use_device(devnet, config)
            renter = config.identity.wallet.address
            nonce = await count_sent(devnet.chain, renter)
            await self._leave(devnet, fleet)
            await self._renew(devnet, fleet)
            outcome.renter_sent = await count_sent(devnet.chain, renter) - nonce
            await self._pay(devnet.chain, repairers)
            await self._fetch(devnet, phrase, source)
        return self._conclude()

    async def _start_chain(self, stack: AsyncExitStack) -> Devnet:
        stage = self._stage
        with stage.step("devnet", self._setting.heading):
            devnet = await stack.enter_async_context(self._setting.devnet())
            rules = devnet.chain.parameters
            stage.say(f"market  {devnet.market} on {devnet.rpc_url}, a block every {BLOCK_SECONDS:g} s")
            stage.say(
                f"rules   an epoch has {rules.epoch_blocks} blocks, and orders end every "
                f"{rules.grid_epochs} epochs"
            )
        return devnet

    async def _store(self, devnet: Devnet) -> tuple[str, Config, Path]:
        stage = self._stage
        source, what = self._source()
        with stage.step("store", f"A renter stores {what}, {K} of {N}, for one term, and gives a mandate"):
            phrase = new_phrase()
            config = await self._rich_renter(phrase, devnet)
            grid, unit = devnet.chain.parameters.grid_epochs, devnet.chain.unit
            # Stored as a grid period begins, it ends with the next one, and is extended by one each time.
            await devnet.mine_to_epoch(Epoch(((await devnet.chain.head()).epoch // grid + 1) * grid))
            stored = await self._put(config, source, StoreOptions(k=K, n=N, epochs=grid + grid // 2))
            self._links = [stored.order.id]
            async with Renter.open(config) as renter:
                await renter.deposit(DEPOSIT_TOKENS * unit.one)
                until = Epoch(stored.order.end + (RENEWALS + 1) * grid)
                terms = propose(
                    [stored.order],
                    fee=FEE_TOKENS * unit.one,
                    until=until,
                    vault=DEPOSIT_TOKENS * unit.one,
                    term_epochs=grid,
                    parameters=devnet.chain.parameters,
                )
                await renter.mandates.give(terms, [stored.order.id])
            stage.say(f"{self._measured(stored)} for each of {N} farmers, until epoch {stored.order.end}")
            stage.say(
                f"Until epoch {terms.until} anyone may extend it, for {unit.exact(terms.fee)} "
                f"each time, and {unit.exact(terms.total)} in all at the most."
            )
        return phrase, config, source

    async def _use_device(self, devnet: Devnet, config: Config) -> None:
        """A device stores for the account, with a key of its own, until its cap stops it."""
        stage, outcome = self._stage, self._outcome
        with stage.step("device", "A device without the recovery phrase stores too, until its cap stops it"):
            small = self._setting.folder / "small.bin"
            small.write_bytes(b"\x2a" * SMALL_BYTES)
            options = StoreOptions(k=K, n=N)
            home, made = self._setting.folder / "device", DelegateSecret.new(config.identity)
            pins = read_pins(pins_path(config.home))
            set_up_delegate(home, network=config.network, secret=made.text(None), pins=pins)
            device = load(home)
            address = device.identity.wallet.address
            async with Renter.open(config) as renter:
                cost = (await renter.quote([small], options)).cost
                outcome.device_cap = int(SMALL_ORDERS * cost)
                now = (await devnet.chain.head()).epoch
                cap = outcome.device_cap
                await renter.delegates.authorize(
                    address, Limits(per_epoch=cap, in_all=cap, until_epoch=Epoch(now + 100))
                )
            await devnet.faucet(address)
            async with Renter.open(device) as renter:
                for _ in range(MAX_TRIES):
                    try:
                        await renter.put(await renter.quote([small], options))
                    except NotEnoughMoney as error:
                        outcome.stopped = True
                        stage.say(f"[yellow]{error.message}")
                        break
                    outcome.device_orders += 1
            shown = await devnet.chain.delegation(config.identity.account, address)
            outcome.device_spent, unit = shown.spent, devnet.chain.unit
            stage.say(
                f"It stored {format_count(outcome.device_orders, 'order')} for "
                f"{unit.rounded_down(shown.spent)}; its cap is {unit.rounded_down(outcome.device_cap)}."
            )
        stage.say("[dim]The renter's programs are closed now.")

    async def _renew(self, devnet: Devnet, fleet: Fleet) -> None:
        """Draw the order's terms until it was extended often enough."""
        stage, chain = self._stage, devnet.chain
        heading = "Nobody of the renter's is there: repairers extend the order, and again, and again"
        with stage.step("renewals", heading), stage.live() as live:
            while True:
                head = await chain.head()
                extended = await chain.logs(0, head.number, ["OrderExtended"])
                following = {event.args["previous"]: OrderId(event.args["order"]) for event in extended}
                while self._links[-1] in following:
                    self._links.append(following[self._links[-1]])
                self._outcome.renewals = len(self._links) - 1
                live.update(await _terms(chain, self._links, head.epoch))
                if self._outcome.renewals >= RENEWALS:
                    return
                shown = await chain.order(self._links[-1])
                if shown is None or head.epoch >= shown.end:
                    stage.say("[red]Nobody extends it; going on.")
                    return
                await self._go_on(devnet, fleet, head)

    async def _go_on(self, devnet: Devnet, fleet: Fleet, head: Head) -> None:
        """Once all that are asked have proven, the next epoch begins without waiting for its time."""
        chain = devnet.chain
        try:
            asked = [one for one in fleet.farmers if await chain.rate_at(one.farmer, head.epoch)]
        except TransactionReverted:
            return  # the epoch went by
        first = head.epoch * chain.parameters.epoch_blocks
        proven = {event.args["farmer"] for event in await chain.logs(first, head.number, ["Proven"])}
        if head.number - first >= LEAST_BLOCKS and all(one.farmer in proven for one in asked):
            await devnet.mine_to_epoch(Epoch(head.epoch + 1))
        else:
            await asyncio.sleep(POLL_SECONDS)

    async def _leave(self, devnet: Devnet, fleet: Fleet) -> None:
        """A farmer hands over all that it keeps, takes its stake out, and is gone. The order is not extended
        yet: what has not begun cannot be handed over."""
        stage, outcome, chain = self._stage, self._outcome, devnet.chain
        leaving = fleet.by_id(await _keeper(chain, self._links[-1]))
        outcome.leaver = leaving.farmer
        with stage.step("leave", f"Farmer {leaving.farmer} hands over all that it keeps, and leaves"):
            before, had, begun = await _wealth(chain, leaving.farmer)
            outcome.stake, shown = before.stake, await chain.order(self._links[-1])
            end = shown.end if shown is not None else Epoch(0)
            asked = Epoch(0)
            while (head := await chain.head()).epoch < end:
                passed = await chain.logs(begun, head.number, ["SlotHandedOver"], {"farmer": leaving.farmer})
                freed = await chain.logs(begun, head.number, ["Released"], {"farmer": leaving.farmer})
                outcome.handed_over = len(passed)
                outcome.kept_rate = (await chain.farmer(leaving.farmer)).committed_rate
                bonds = {(one.args["taker"], one.args["epoch"]) for one in passed}
                if not outcome.kept_rate and len(freed) == len(bonds):
                    break
                if outcome.kept_rate and head.epoch > asked:
                    # Again in each epoch: the farm reads of what was placed last a block later.
                    with suppress(DevnetError):
                        await run_farm(leaving, "hand-over", "--all", "--yes")
                    asked = head.epoch
                # By the clock: a slot passes in the rest of an epoch that its farmer has proven.
                await asyncio.sleep(POLL_SECONDS)
            takers = sorted({one.args["taker"] for one in passed})
            stage.say(
                f"{format_count(len(passed), 'slot')} went to {_named(takers)}, without a forfeit; what was "
                "bound of its stake came back when they had proven."
            )
            await run_farm(leaving, "unstake", "--yes")
            await leaving.stop()
            await run_farm(leaving, "withdraw")
            head = await chain.head()
            names = ["Proven", "StakeLost", "Released"]
            events = await chain.logs(begun, head.number, names, {"farmer": leaving.farmer})
            earned = sum(one.args["amount"] for one in events if one.name == "Proven")
            outcome.taken_out = await chain.token_balance(before.owner) - had - earned
            outcome.missed = sum(
                one.args["compensation"] + one.args["burnt"] for one in events if one.name == "StakeLost"
            )
            outcome.forfeited = sum(one.args["burnt"] for one in events if one.name == "Released")
            stage.say(f"It takes {chain.unit.exact(outcome.taken_out)} of stake home.")
            if outcome.missed:
                stage.say(f"{chain.unit.exact(outcome.missed)} went for epochs that it missed before.")

    async def _pay(self, chain: Chain, repairers: Sequence[RepairerProcess]) -> None:
        stage, outcome = self._stage, self._outcome
        with stage.step("bill", "Who extended the order, and for how much"):
            head = (await chain.head()).number
            extended = await chain.logs(0, head, ["ExtendedByMandate"])
            rows, outcome.all_paid, outcome.fee = [], True, FEE_TOKENS * chain.unit.one
            for repairer in repairers:
                times = sum(one.args["extender"] == repairer.address for one in extended)
                outcome.fees += times * outcome.fee
                earned = await chain.earnings(repairer.address)
                outcome.all_paid &= earned >= times * outcome.fee
                rows.append((str(repairer.number), str(times), chain.unit.rounded_down(earned)))
            stage.console.print(table(">repairer", ">extensions", ">earned", rows=rows))

    async def _fetch(self, devnet: Devnet, phrase: str, source: Path) -> None:
        with self._stage.step("fetch", "The renter wakes up at another computer, with the recovery phrase"):
            back = await self._kill_and_get([], phrase, devnet, order=self._links[-1])
        terms = format_count(self._outcome.renewals, "term")
        await self._compare(source, back, f"{terms} went by with nobody there, and a farmer left")


async def _wealth(chain: Chain, farmer: FarmerId) -> tuple[Farmer, int, int]:
    """A farmer, what its owner has in wallet and earnings, and the first block that is not in this."""
    while True:
        head = await chain.head()
        shown = await chain.farmer(farmer)
        had = await chain.token_balance(shown.owner) + await chain.earnings(shown.owner)
        if (await chain.head()).number == head.number:
            return shown, had, head.number + 1


async def _keeper(chain: Chain, order: OrderId) -> FarmerId:
    """Who keeps the first slot of an order."""
    head = (await chain.head()).number
    filled = await chain.logs(0, head, ["SlotFilled"], {"order": order})
    return FarmerId(next(event.args["farmer"] for event in filled if event.args["slot"] == 0))


async def _terms(chain: Chain, links: Sequence[OrderId], epoch: int) -> Table:
    """The order and what extended it: when each ends."""
    rows, begun = list[tuple[str, ...]](), Epoch(0)
    for number, link in enumerate(links):
        shown = await chain.order(link)
        if shown is None:
            continue
        what = "stored by the renter" if not number else "extended by a repairer"
        rows.append((link.hex()[:ID_CHARACTERS], what, str(max(begun, shown.start)), str(shown.end)))
        begun = shown.end
    return table("order", f"in epoch {epoch}", ">from epoch", ">until", rows=rows)


def _named(farmers: Sequence[int]) -> str:
    return f"farmer{'s' if len(farmers) > 1 else ''} " + ", ".join(map(str, farmers))
