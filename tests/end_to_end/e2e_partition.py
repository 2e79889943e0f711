"""A network that falls in two: each repairer has a door of its own before every farmer, and a cut shuts those
that lead to the other side. Both sides see the chain all the while.

Decides nothing about who is on which side, nor how long the cut lasts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from e2e_gate import Gate

from grange.chain import Farmer
from grange.types import FarmerId
from grange_devnet.fleet import FarmerProcess
from grange_node.repair.repairer import Repairer


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """One repairer's ways to the farmers."""

    gates: Mapping[FarmerId, Gate]

    @classmethod
    @asynccontextmanager
    async def before(cls, farmers: Iterable[FarmerProcess], repairer: Repairer) -> AsyncIterator[Doors]:
        """From now on the repairer reaches these farmers through its doors alone."""
        async with AsyncExitStack() as stack:
            gates = {
                one.farmer: await stack.enter_async_context(Gate.before(one.endpoint)) for one in farmers
            }
            on_chain = repairer.view.market.farmers

            async def behind_doors() -> list[Farmer]:
                return [
                    replace(one, endpoint=gates[one.id].url) if one.id in gates else one
                    for one in await on_chain()
                ]

            repairer.view.market.farmers = behind_doors  # type: ignore[method-assign]
            yield cls(gates=gates)

    def hold_back(self, request: bytes) -> None:
        """Let no request through that contains this."""
        for gate in self.gates.values():
            gate.hold_back = request

    async def leave_only(self, side: Collection[FarmerId]) -> None:
        """The cut: who is not on this side is not there any more. What was held back at the others may be
        sent again."""
        for farmer, gate in self.gates.items():
            await gate.shut()
            if farmer in side:
                gate.reopen()

    def heal(self) -> None:
        """Everybody is there again."""
        for gate in self.gates.values():
            gate.reopen()
