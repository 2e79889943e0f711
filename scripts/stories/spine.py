"""The first story: files in, audited on chain, paid, and back.

A chain starts, eight farmers register, a renter stores a directory in one transaction. Epochs pass; one
farmer has quietly thrown away most of what it keeps, misses and earns nothing. Two more are killed. A second
computer that knows only the recovery phrase fetches everything back. The order ends and is closed: what was
paid for epochs that nobody proved comes back, with compensation. Nothing is played: these are the devnet, the
nodes and the client. Only time is hurried: once all who can have proven, an epoch's other blocks come now.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from grange.chain import Event, Sender, Wallet, calls
from grange.types import FarmerId
from grange_client.keys.config import load
from grange_client.keys.recovery_phrase import new_phrase
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet.devnet import DEVNET_PARAMETERS, Devnet
from grange_devnet.engines import DEV_KEY
from grange_devnet.fleet import FarmerProcess, Fleet
from stories import tale
from stories.bill import SlotBill, slot_bills
from stories.gas import Sent, market_transactions, mean_gas
from stories.stage import epoch_table, table
from stories.tale import BLOCK_SECONDS, POLL_SECONDS, Setting, Tale

FARMERS = 8
K, N = 4, 8
WANTED_EPOCHS = 3
KEPT_PIECES_OF = 20
"""The cheat keeps one piece of so many: all five samples of an audit hit it once in 3 million epochs."""
CARELESS = Path(__file__).with_name("careless.py")
CHEAT_SLOT = 2
KILLED_SLOTS = (0, 1)
"""Slots that hold the renter's blocks as they are, so that reading has to decode."""
RULES = replace(DEVNET_PARAMETERS, grid_epochs=6, max_misses=6, collateral_epochs=24)
"""As fine a calendar as the market takes with so many misses to a lapse, so that the order ends soon."""
TERM_EPOCHS = WANTED_EPOCHS + 4
"""Some epochs go by while a slow machine uploads, and one while the files are fetched."""
LEAST_BLOCKS = 3
"""An epoch's first blocks come by the clock, so that everybody has a try at proving: the cheat too."""


@dataclass(slots=True, kw_only=True)
class Outcome(tale.Outcome):
    """What happened, and whether it is what should happen."""

    store_transactions: int = 0
    cheat: FarmerId = FarmerId(0)  # noqa: RUF009 - a number
    honest: tuple[FarmerId, ...] = ()
    epochs_proven: dict[FarmerId, int] = field(default_factory=dict)
    epochs_missed: dict[FarmerId, int] = field(default_factory=dict)
    paid: dict[FarmerId, int] = field(default_factory=dict)
    earnings: dict[FarmerId, int] = field(default_factory=dict)
    """Of the farmers' owners. With an eviction they get what the stake had above the collateral, too."""
    cost: int = 0
    refunded: int = 0
    compensation: int = 0
    came_back: int = 0
    """What the renter's vault had more after the closing."""
    bills: list[SlotBill] = field(default_factory=list)
    gas: dict[str, int] = field(default_factory=dict)

    @property
    def claims(self) -> dict[str, bool]:
        """What the story claims, and whether it was true."""
        return {
            "everything came back byte for byte": self.identical,
            "one transaction stored it all": self.store_transactions == 1,
            f"every honest farmer proved {WANTED_EPOCHS} epochs": all(
                self.epochs_proven.get(farmer, 0) >= WANTED_EPOCHS for farmer in self.honest
            ),
            "every honest farmer was paid": all(self.paid.get(farmer, 0) > 0 for farmer in self.honest),
            "the cheat missed": self.epochs_missed.get(self.cheat, 0) >= 1,
            "the cheat was not paid": self.paid.get(self.cheat, 0) == 0,
            "the cheat's missed epochs were refunded with compensation": any(
                bill.farmer == self.cheat and bill.refund and bill.compensation for bill in self.bills
            ),
            "the refund was the pay of every epoch that was not proven": (
                self.refunded == sum(bill.refund for bill in self.bills)
            ),
            "the compensation was what the rules say": (
                self.compensation == sum(bill.compensation for bill in self.bills)
            ),
            "just that came back to the renter's vault": (
                self.came_back == self.refunded + self.compensation
            ),
            "pay and refund make up the price": self.cost == sum(self.paid.values()) + self.refunded,
            "every farmer was paid for what it proved": all(
                self.paid.get(bill.farmer) == bill.earned for bill in self.bills
            ),
            "that is what is in the earnings of all that did not lapse": all(
                self.earnings.get(bill.farmer) == bill.earned for bill in self.bills if not bill.vacant
            ),
        }

    def as_json(self) -> dict[str, object]:
        """The one line that --json prints; amounts in token base units, farmers by id."""
        return {
            "identical": self.identical,
            "files": self.files,
            "bytes": self.size_bytes,
            "store_transactions": self.store_transactions,
            "cheating_farmer": self.cheat,
            "epochs_proven": {str(f): n for f, n in sorted(self.epochs_proven.items())},
            "epochs_missed": {str(f): n for f, n in sorted(self.epochs_missed.items())},
            "paid": {str(f): amount for f, amount in sorted(self.paid.items())},
            "refunded": self.refunded,
            "compensation": self.compensation,
            "gas": self.gas,
            "seconds": self.seconds,
        }


class Spine(Tale[Outcome]):
    """One telling of the story."""

    def __init__(self, setting: Setting, console: Console) -> None:
        super().__init__(setting, console, Outcome())

    async def play(self) -> Outcome:
        """Tell it, and say what came of it."""
        self._stage.console.print(
            "[bold]Grange[/]: storage that is proven, and paid only when it is.", highlight=False
        )
        async with AsyncExitStack() as stack:
            devnet = await self._start_chain(stack)
            fleet = await self._start_farmers(stack, devnet)
            phrase, stored, source = await self._store(devnet)
            cheat = await self._cheat(fleet, stored)
            await self._watch_epochs(devnet, stored, cheat)
            await self._kill_and_fetch(devnet, fleet, stored, phrase, source)
            await self._close(devnet, stored)
            await self._bill(devnet, stored)
        return self._conclude()

    async def _start_chain(self, stack: AsyncExitStack) -> Devnet:
        stage = self._stage
        with stage.step("devnet", self._setting.heading):
            devnet = await stack.enter_async_context(self._setting.devnet(parameters=RULES))
            rules = devnet.chain.parameters
            stage.say(f"chain   {devnet.rpc_url}, a block every {BLOCK_SECONDS:g} s")
            stage.say(f"market  {devnet.market}")
            stage.say(f"rules   an epoch has {rules.epoch_blocks} blocks, an audit {rules.samples} leaves")
        return devnet

    async def _start_farmers(self, stack: AsyncExitStack, devnet: Devnet) -> Fleet:
        stage = self._stage
        ready: list[FarmerProcess] = []
        with stage.step("farmers", f"{FARMERS} farmers, each a process with its own key, stake and disk"):
            with stage.live() as live:

                def draw(farmer: FarmerProcess) -> None:
                    ready.append(farmer)
                    rows = [
                        (str(f.farmer), f.endpoint, f"{f.address[:6]}…{f.address[-4:]}")
                        for f in sorted(ready, key=lambda f: f.farmer)
                    ]
                    live.update(table(">farmer", "endpoint", "operator", rows=rows))

                fleet = await stack.enter_async_context(
                    Fleet.start(devnet, FARMERS, self._setting.folder / "farmers", on_ready=draw)
                )
            on_chain = await devnet.chain.farmers()
            unit = devnet.chain.unit
            stage.say(
                f"Each has {unit.exact(on_chain[0].stake)} at stake and asks "
                f"{unit.exact(on_chain[0].offer.price_per_gib_epoch)} for a GiB and epoch."
            )
        return fleet

    async def _store(self, devnet: Devnet) -> tuple[str, Stored, Path]:
        stage, outcome = self._stage, self._outcome
        source, what = self._source()
        with stage.step("store", f"A renter stores {what}, {K} of {N}, in one transaction"):
            phrase = new_phrase()
            config = await self._rich_renter(phrase, devnet)
            first = (await devnet.chain.head()).number + 1
            stored = await self._put(config, source, StoreOptions(k=K, n=N, epochs=TERM_EPOCHS))
            address = config.identity.wallet.address
            last = (await devnet.chain.head()).number
            all_sent = await market_transactions(devnet.chain, first, last)
            sent = [one for one in all_sent if one.sender.lower() == address.lower()]
            outcome.store_transactions = len(sent)
            stage.say(f"{self._measured(stored)} for each farmer")
            stage.say(
                f"{len(sent)} transaction, {stored.receipt.gas_used:,} gas; "
                f"{devnet.chain.unit.rounded_up(stored.order.cost)} paid ahead, until epoch "
                f"{stored.order.end}"
            )
        return phrase, stored, source

    async def _cheat(self, fleet: Fleet, stored: Stored) -> FarmerProcess:
        farmer = fleet.by_id(stored.order.slots[CHEAT_SLOT].farmer)
        pieces = sorted(path for path in farmer.data.glob("slots/*/*/*/*.*") if path.is_file())
        gone = [path for number, path in enumerate(pieces) if number % KEPT_PIECES_OF]
        await farmer.stop()
        for path in gone or pieces:
            path.unlink()
        farmer.program = (sys.executable, str(CARELESS))
        await farmer.start()
        self._stage.say(
            f"Farmer {farmer.farmer} quietly deletes {len(gone or pieces)} of its {len(pieces)} pieces, "
            "and runs a node that does not make them again."
        )
        self._outcome.cheat = farmer.farmer
        self._outcome.honest = tuple(
            slot.farmer for slot in stored.order.slots if slot.farmer != farmer.farmer
        )
        return farmer

    async def _watch_epochs(self, devnet: Devnet, stored: Stored, cheat: FarmerProcess) -> None:
        honest = self._outcome.honest
        with self._stage.step(
            "epochs", "Epochs pass; each farmer proves each with one transaction, and is paid"
        ):

            def enough(epoch: int, proven: dict[int, frozenset[int]]) -> bool:
                return all(len(proven.get(farmer, ())) >= WANTED_EPOCHS for farmer in honest)

            await self._pass_epochs(devnet, stored, {cheat.farmer: "deleted data"}, honest, enough)
            self._stage.say("● proven and paid   ✗ missed, nothing paid   · not over yet")

    async def _pass_epochs(
        self,
        devnet: Devnet,
        stored: Stored,
        notes: dict[FarmerId, str],
        provers: Collection[FarmerId],
        enough: Callable[[int, dict[int, frozenset[int]]], bool],
    ) -> None:
        """Draw the order's epochs until it is enough or it is over.

        When all `provers` have proven an epoch, the next one begins without waiting for its time.
        """
        chain, order = devnet.chain, stored.order
        names = {int(f): notes.get(f, "") for f in sorted(slot.farmer for slot in order.slots)}
        with self._stage.live() as live:
            while True:
                head = await chain.head()
                proven, paid = _by_farmer(await chain.logs(order.block, head.number, ["Proven"]))
                epochs = range(order.start, min(order.end, max(order.start, head.epoch) + 1))
                shown = {farmer: chain.unit.number_rounded_down(amount) for farmer, amount in paid.items()}
                live.update(epoch_table(names, epochs, proven, shown, head.epoch))
                if head.epoch >= order.end or enough(head.epoch, proven):
                    return
                all_have = all(head.epoch in proven.get(farmer, ()) for farmer in provers)
                if head.epoch < order.start or (
                    all_have and head.number % chain.parameters.epoch_blocks >= LEAST_BLOCKS
                ):
                    await devnet.mine_to_epoch(head.epoch + 1)
                else:
                    await asyncio.sleep(POLL_SECONDS)

    async def _kill_and_fetch(
        self, devnet: Devnet, fleet: Fleet, stored: Stored, phrase: str, source: Path
    ) -> None:
        killed = [fleet.by_id(stored.order.slots[slot].farmer) for slot in KILLED_SLOTS]
        names = " and ".join(str(farmer.farmer) for farmer in killed)
        with self._stage.step(
            "fetch", f"Farmers {names} are killed; another computer knows only the recovery phrase"
        ):
            back = await self._kill_and_get(killed, phrase, devnet)
        await self._compare(source, back, "two farmers are dead and one cheats")

    async def _close(self, devnet: Devnet, stored: Stored) -> None:
        stage, outcome, order = self._stage, self._outcome, stored.order
        killed = [order.slots[slot].farmer for slot in KILLED_SLOTS]
        notes = dict.fromkeys(killed, "killed") | {outcome.cheat: "deleted data"}
        alive = [farmer for farmer in outcome.honest if farmer not in killed]
        with stage.step("close", f"The order runs to its end, epoch {order.end}, and its renter closes it"):
            await self._pass_epochs(devnet, stored, notes, alive, lambda epoch, proven: False)
            async with Renter.open(load(self._second_home)) as renter:
                before = (await renter.funds()).vault
                closing = await renter.close(order)
                outcome.came_back = (await renter.funds()).vault - before
            outcome.cost, outcome.refunded = order.cost, closing.refund
            outcome.compensation, unit = closing.compensation, devnet.chain.unit
            stage.say(
                f"{unit.rounded_down(closing.refund)} come back for epochs that nobody proved, and "
                f"{unit.rounded_down(closing.compensation)} as compensation."
            )

    async def _bill(self, devnet: Devnet, stored: Stored) -> None:
        stage, outcome, chain, order = self._stage, self._outcome, devnet.chain, stored.order
        unit = chain.unit
        with stage.step("bill", "The bill"):
            stranger = Sender(chain, Wallet(DEV_KEY))
            for slot in order.slots:
                await stranger.send(calls.settle(slot.farmer))
            head = (await chain.head()).number
            proven, paid = _by_farmer(await chain.logs(0, head, ["Proven"]))
            evicted = await chain.logs(0, head, ["Evicted"])
            outcome.bills = sorted(
                slot_bills(order, proven, evicted, chain.parameters), key=lambda bill: bill.farmer
            )
            farmers = {farmer.id: farmer for farmer in await chain.farmers()}
            for bill in outcome.bills:
                outcome.epochs_proven[bill.farmer] = bill.proven
                outcome.epochs_missed[bill.farmer] = farmers[bill.farmer].misses
                outcome.paid[bill.farmer] = paid.get(bill.farmer, 0)
                outcome.earnings[bill.farmer] = await chain.earnings(farmers[bill.farmer].owner)
            sent = await market_transactions(chain, 0, head)
            outcome.gas = _gas(sent, stored)
            stage.console.print(
                table(">farmer", ">proven", ">missed", ">earned", ">refund", ">compensation", rows=[
                    (str(bill.farmer), str(bill.proven), str(bill.missed),
                     *map(unit.number_rounded_down,
                          (outcome.paid[bill.farmer], bill.refund, bill.compensation)))
                    for bill in outcome.bills
                ])
            )  # fmt: skip
            stage.say(
                f"The renter paid {unit.rounded_up(order.cost)} ahead. Farmers earned "
                f"{unit.rounded_down(sum(outcome.paid.values()))} of it, and the rest came back, "
                "with compensation out of the stakes of those who did not prove."
            )
            rows = [
                (kind, str(sum(t.function == kind for t in sent)), f"{gas:,}")
                for kind, gas in mean_gas(sent).items()
            ]
            stage.console.print(table("call", ">times", ">gas each, mean", rows=rows))


def _by_farmer(proofs: list[Event]) -> tuple[dict[int, frozenset[int]], dict[int, int]]:
    proven: dict[int, frozenset[int]] = {}
    paid: dict[int, int] = {}
    for event in proofs:
        farmer = event.args["farmer"]
        proven[farmer] = proven.get(farmer, frozenset()) | {event.args["epoch"]}
        paid[farmer] = paid.get(farmer, 0) + event.args["amount"]
    return proven, paid


def _gas(sent: list[Sent], stored: Stored) -> dict[str, int]:
    place, means = stored.receipt.gas_used, mean_gas(sent)
    others = {kind: gas for kind, gas in means.items() if kind not in ("place", "placeWithPermit")}
    return {"place": place, "place_per_slot": round(place / stored.order.geometry.n), **others}
