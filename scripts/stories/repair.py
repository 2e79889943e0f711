"""The second story: farmers vanish, others take their places, and the renter is asleep.

Twelve farmers, a directory stored 4 of 8, then the renter's program is closed. Three farmers that keep slots
are killed for good. They miss, lapse, and are evicted; repairers rebuild what they kept out of the ciphertext
of the others, for a bounty, with no key, and farmers that were not in the order take it. Then four of the
original farmers are killed too, and a second computer that knows only the recovery phrase reads everything
back.
Nothing is played: these are the devnet, the nodes, the repairers and the client.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from grange.chain import Chain, Event
from grange.types import Address, Epoch, FarmerId
from grange.units import format_count
from grange_client.keys.recovery_phrase import new_phrase
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_devnet.devnet import Devnet
from grange_devnet.fleet import Fleet
from grange_devnet.repairers import RepairerProcess
from stories import tale
from stories.stage import table
from stories.tale import BLOCK_SECONDS, POLL_SECONDS, Setting, Tale, count_sent

FARMERS = 12
REPAIRERS = 2
K, N = 4, 8
KILLED_FIRST = 3
KILLED_LATER = 4
GAS_PRICE = "0.0001"
"""Tokens for a million gas: a bounty must pay for that before anybody begins."""
READ_MARGIN = 1.05
MAX_EPOCHS_WAITED = 30
EPOCHS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who keeps a slot, and since when."""

    farmer: FarmerId
    start: Epoch


@dataclass(slots=True, kw_only=True)
class Outcome(tale.Outcome):
    """What happened, and whether it is what should happen."""

    healed: bool = False
    renter_sent: int = 0
    """Transactions of the renter's account between storing and reading back."""
    renter_open: bool = False
    killed: tuple[FarmerId, ...] = ()
    killed_later: tuple[FarmerId, ...] = ()
    bounties: dict[Address, int] = field(default_factory=dict)
    slots_refilled: int = 0
    refill_transactions: int = 0
    read_bytes: int = 0
    rebuilt_bytes: int = 0

    @property
    def read_per_byte_rebuilt(self) -> float:
        """Bytes that repairers received at their sockets for each byte that they rebuilt."""
        return round(self.read_bytes / self.rebuilt_bytes, 4) if self.rebuilt_bytes else 0.0

    @property
    def frugal(self) -> bool:
        """Whether no more was read than k slots for each transaction, and 5 % besides."""
        if not self.slots_refilled:
            return False
        passes_per_slot = self.refill_transactions / self.slots_refilled
        return self.read_per_byte_rebuilt <= READ_MARGIN * K * passes_per_slot

    @property
    def renter_online(self) -> bool:
        """Whether the renter had a part in the repair."""
        return self.renter_open or self.renter_sent > 0

    @property
    def claims(self) -> dict[str, bool]:
        """What the story claims, and whether it was true."""
        return {
            "every slot is kept by a live farmer again": self.healed,
            f"the {KILLED_FIRST} slots were refilled": self.slots_refilled >= KILLED_FIRST,
            "a pass read k pieces for all that it rebuilt": self.frugal,
            "bounties were paid": sum(self.bounties.values()) > 0,
            "the renter was asleep": not self.renter_online,
            "everything came back byte for byte": self.identical,
        }

    def as_json(self) -> dict[str, object]:
        """The one line that --json prints; amounts in token base units, farmers by id."""
        return {
            "healed": self.healed,
            "identical": self.identical,
            "renter_online_during_repair": self.renter_online,
            "read_per_byte_rebuilt": self.read_per_byte_rebuilt,
            "bounties_paid": {str(by): amount for by, amount in sorted(self.bounties.items())},
            "slots_refilled": self.slots_refilled,
            "refill_transactions": self.refill_transactions,
            "files": self.files,
            "bytes": self.size_bytes,
            "killed": list(self.killed),
            "killed_later": list(self.killed_later),
            "seconds": self.seconds,
        }


class Repair(Tale[Outcome]):
    """One telling of the story."""

    def __init__(self, setting: Setting, console: Console) -> None:
        super().__init__(setting, console, Outcome())
        self._renter = Address("")

    async def play(self) -> Outcome:
        """Tell it, and say what came of it."""
        stage, outcome = self._stage, self._outcome
        stage.console.print(
            "[bold]Grange[/]: what vanishes is rebuilt, and its owner may be asleep.", highlight=False
        )
        async with AsyncExitStack() as stack:
            devnet = await self._start_chain(stack)
            fleet, repairers = await self._start_people(
                stack,
                devnet,
                farmers=FARMERS,
                repairers=REPAIRERS,
                gas_price=GAS_PRICE,
            )
            phrase, stored, source = await self._store(devnet)
            nonce = await count_sent(devnet.chain, self._renter)
            await self._kill(fleet, stored)
            await self._watch_repair(devnet.chain, fleet, stored, repairers)
            outcome.renter_sent = await count_sent(devnet.chain, self._renter) - nonce
            await self._count(devnet.chain, stored, repairers)
            await self._kill_more_and_fetch(devnet, fleet, stored, phrase, source)
        return self._conclude()

    async def _start_chain(self, stack: AsyncExitStack) -> Devnet:
        stage = self._stage
        with stage.step("devnet", self._setting.heading):
            devnet = await stack.enter_async_context(self._setting.devnet())
            rules = devnet.chain.parameters
            stage.say(f"market  {devnet.market} on {devnet.rpc_url}, a block every {BLOCK_SECONDS:g} s")
            stage.say(
                f"rules   an epoch has {rules.epoch_blocks} blocks; with {rules.max_misses} missed epochs "
                "a farmer lapses"
            )
        return devnet

    async def _store(self, devnet: Devnet) -> tuple[str, Stored, Path]:
        stage, outcome = self._stage, self._outcome
        source, what = self._source()
        with stage.step("store", f"A renter stores {what}, {K} of {N}, and closes the lid"):
            phrase = new_phrase()
            config = await self._rich_renter(phrase, devnet)
            self._renter = config.identity.wallet.address
            outcome.renter_open = True
            stored = await self._put(config, source, StoreOptions(k=K, n=N, epochs=EPOCHS))
            outcome.renter_open = False
            stage.say(f"{self._measured(stored)} for each of {N} farmers")
        return phrase, stored, source

    async def _kill(self, fleet: Fleet, stored: Stored) -> None:
        killed = [fleet.by_id(slot.farmer) for slot in stored.order.slots[:KILLED_FIRST]]
        self._outcome.killed = tuple(farmer.farmer for farmer in killed)
        names = ", ".join(str(farmer.farmer) for farmer in killed)
        with self._stage.step("kill", f"Farmers {names} are killed, and will not come back"):
            for farmer in killed:
                await farmer.kill()
            self._stage.say(f"{N - KILLED_FIRST} slots are left, and {K} are needed.")

    async def _watch_repair(
        self, chain: Chain, fleet: Fleet, stored: Stored, repairers: list[RepairerProcess]
    ) -> None:
        stage, order = self._stage, stored.order
        with stage.step("repair", "They miss, lapse, are evicted; what they kept is rebuilt by others"):
            with stage.live() as live:
                while True:
                    head = await chain.head()
                    events = await chain.logs(order.block, head.number, ["SlotFilled"], {"order": order.id})
                    holders = _holders(events)
                    proofs = await chain.logs(order.block, head.number, ["Proven"])
                    whole = {slot: _proves(holder, proofs) for slot, holder in holders.items()}
                    live.update(await _slot_table(chain, fleet, holders, whole, head.epoch))
                    alive = [fleet.by_id(holder.farmer).running for holder in holders.values()]
                    if all(alive) and all(whole.values()):
                        self._outcome.healed = True
                        break
                    if head.epoch > order.start + MAX_EPOCHS_WAITED:
                        stage.say("[red]Some slots stay empty; going on.")
                        break
                    await asyncio.sleep(POLL_SECONDS)
            for repairer in repairers:
                stage.say(f"repairer {repairer.number} says: [dim]{_last_line(repairer)}[/]")

    async def _count(self, chain: Chain, stored: Stored, repairers: list[RepairerProcess]) -> None:
        stage, outcome, order = self._stage, self._outcome, stored.order
        with stage.step("bill", "Who rebuilt what, and for how much"):
            head = (await chain.head()).number
            vacated = await chain.logs(order.block, head, ["SlotVacated"], {"order": order.id})
            outcome.bounties = {repairer.address: 0 for repairer in repairers}
            for event in vacated:
                by = event.args["repairer"]
                outcome.bounties[by] = outcome.bounties.get(by, 0) + event.args["bounty"]
            outcome.slots_refilled = len(vacated)
            outcome.refill_transactions = len({event.tx_hash for event in vacated})
            rows = []
            for repairer in repairers:
                status = await repairer.status()
                outcome.read_bytes += status["bytes_read"]
                outcome.rebuilt_bytes += status["bytes_rebuilt"]
                rows.append((
                    str(repairer.number), f"{status['bytes_read']:,}", f"{status['bytes_rebuilt']:,}",
                    str(status["slots_refilled"]),
                    chain.unit.rounded_down(outcome.bounties[repairer.address]),
                ))  # fmt: skip
            stage.console.print(
                table(">repairer", ">bytes read", ">bytes rebuilt", ">slots", ">bounty", rows=rows)
            )
            stage.say(
                f"{format_count(outcome.slots_refilled, 'slot')} in "
                f"{format_count(outcome.refill_transactions, 'transaction')}; "
                f"{outcome.read_per_byte_rebuilt:.2f} bytes read for each byte rebuilt "
                f"({K} / {KILLED_FIRST} is {K / KILLED_FIRST:.2f})."
            )

    async def _kill_more_and_fetch(
        self, devnet: Devnet, fleet: Fleet, stored: Stored, phrase: str, source: Path
    ) -> None:
        stage, outcome = self._stage, self._outcome
        original = [fleet.by_id(slot.farmer) for slot in stored.order.slots]
        killed = [farmer for farmer in original if farmer.running][:KILLED_LATER]
        outcome.killed_later = tuple(farmer.farmer for farmer in killed)
        names = ", ".join(str(farmer.farmer) for farmer in killed)
        with stage.step("fetch", f"Of the original farmers {names} are killed too; the renter wakes up"):
            back = await self._kill_and_get(killed, phrase, devnet)
        dead = len(outcome.killed) + len(killed)
        await self._compare(source, back, f"{dead} of the {N} farmers that got them are dead")


def _holders(filled: list[Event]) -> dict[int, Holder]:
    return {
        event.args["slot"]: Holder(farmer=FarmerId(event.args["farmer"]), start=Epoch(event.args["from"]))
        for event in filled
    }


def _proves(holder: Holder, proofs: list[Event]) -> bool:
    """Whether a farmer has proven an epoch in which it was asked for this slot too."""
    return any(
        event.args["farmer"] == holder.farmer and event.args["epoch"] >= holder.start for event in proofs
    )


async def _slot_table(
    chain: Chain, fleet: Fleet, holders: dict[int, Holder], whole: dict[int, bool], epoch: int
) -> Table:
    """Slots down: who keeps each, and how that farmer stands."""
    farmers = {farmer.id: farmer for farmer in await chain.farmers()}
    rows = []
    for slot, holder in sorted(holders.items()):
        farmer, process = farmers[holder.farmer], fleet.by_id(holder.farmer)
        if farmer.lapsed:
            state = "[red]lapsed: the slot is vacant[/]"
        elif not process.running:
            state = f"[yellow]dead, {farmer.misses} epochs missed[/]"
        else:
            state = "[green]proves it[/]" if whole[slot] else "[cyan]took it over[/]"
        rows.append((str(slot), str(holder.farmer), str(holder.start), state))
    return table(">slot", ">farmer", ">since epoch", f"in epoch {epoch}", rows=rows)


def _last_line(repairer: RepairerProcess) -> str:
    lines = repairer.log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "nothing"
