"""How orders are, as a person sees it. Values in, rich renderables out; everything fits 80 columns.

Decides wording, and from which risk on it is time to do something. Leaves the numbers to `durability`.
"""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from grange.listed_names import ListedNames
from grange.times import BlockClock
from grange_client.cli.screens.tables import DAY_CHARACTERS, ID_CHARACTERS, new_table
from grange_client.orders.catalog import Known
from grange_client.orders.durability import OrderHealth, SlotState

ALARMING_LOSS = 1e-3
"""From so much on a risk is shown in red."""


def health_screen(shown_orders: Sequence[tuple[Known, OrderHealth]], clock: BlockClock) -> RenderableType:
    """How orders are."""
    if not shown_orders:
        return Text("Nothing is stored at the moment. `grange put PATH` stores something.")
    counted = (">live", ">late", ">vacant", ">new", ">needed")
    # With less between the columns a name of 16 letters fits 80 columns beside all of this.
    table = new_table("name", *counted, ">until epoch|", ">risk|", "id|", gap=1)
    for known, health in shown_orders:
        counts = [health.count(state) for state in SlotState]
        table.add_row(
            Text(known.title) if known.title else Text("unread", style="yellow"),
            str(counts[0]),
            *(Text(str(count), style="yellow" if count else "dim") for count in counts[1:]),
            f"{health.k} of {len(health.slots)}",
            f"{known.order.end}, {clock.format_epoch(known.order.end)[:DAY_CHARACTERS]}",
            Text(risk_text(health.loss), style="" if health.loss < ALARMING_LOSS else "red"),
            known.order.id.hex()[:ID_CHARACTERS],
        )
    table.caption = (
        "late: missed an epoch; vacant: given up, a repairer may take it; new: just moved. "
        "risk: of losing it before it ends, if farmers vanish independently and vacant slots are repaired."
    )
    return table


def slots_screen(health: OrderHealth, names: ListedNames) -> RenderableType:
    """Every slot of one order."""
    styles = {SlotState.LIVE: "", SlotState.REPAIRING: "", SlotState.LATE: "yellow", SlotState.VACANT: "red"}
    table = new_table(">slot", ">farmer", "state")
    for report in health.slots:
        state = Text(report.state.value, style=styles[report.state])
        table.add_row(str(report.slot), names.farmer(report.farmer), state)
    return table


def danger_screen(known: Known, health: OrderHealth) -> RenderableType | None:
    """What to do about an order that is not well; None if it is."""
    named = known.title or known.order.id.hex()[:ID_CHARACTERS]
    if health.spares < 0:
        text = f"{named}: fewer farmers have it than are needed, unless those that are late come back."
        get = f"grange orders get {known.order.id.hex()[:ID_CHARACTERS]}"
        if known.drive is not None:
            get = "grange get, from the drive"
        return Text(f"{text} Fetch it now: {get}", style="red")
    if health.loss >= ALARMING_LOSS:
        return Text(f"{named}: keep a copy of it elsewhere until it is repaired.", style="yellow")
    return None


def risk_text(loss: float) -> str:
    """A probability as one in so many."""
    if loss >= 0.1:
        return f"{loss:.0%}"
    if loss * 10**9 < 1:
        return "< 1 in 10^9"
    digits = len(str(int(1 / loss)))
    if digits > 6:
        # So that the table fits 80 columns.
        return f"1 in 10^{digits - 1}"
    unit = 10 ** max(0, digits - 2)
    return f"1 in {int(1 / loss) // unit * unit:,}"
