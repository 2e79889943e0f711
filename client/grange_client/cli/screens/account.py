"""The renter's money, and the farmers of the market."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from grange.cli.presenter import plain_text
from grange.token_unit import TokenUnit
from grange.types import Address
from grange.units import format_size
from grange_client.cli.screens.tables import facts, new_table
from grange_client.orders.plan import Funds
from grange_client.renter import FarmerReport

WEI = 10**18


def farmers_screen(reports: Sequence[FarmerReport], unit: TokenUnit) -> RenderableType:
    """Everybody on the market."""
    if not reports:
        return Text("Nobody has registered yet. `grange farm init` makes a farmer.")
    table = new_table(">id", "endpoint", ">price", ">free", ">stake", ">proven", ">missed")
    for report in reports:
        farmer = report.farmer
        table.add_row(
            Text(f"{farmer.id} {report.name}".rstrip(), style="green" if report.is_friend else ""),
            _endpoint(report),
            unit.rate_number(farmer.offer.price_per_gib_epoch),
            _room(report),
            unit.number_rounded_up(farmer.stake),
            f"{farmer.epochs_proven:,}",
            Text(f"{farmer.misses:,}", style="red" if farmer.misses else ""),
        )
    table.caption = f"price: {unit.name} for a GiB and epoch; stake: {unit.name}"
    return table


def _endpoint(report: FarmerReport) -> Text:
    """With why it gets nothing of ours, if it doesn't."""
    text = Text(plain_text(report.farmer.endpoint), style="red" if report.silent else "")
    return text.append(f" {report.distrust}", style="red") if report.distrust else text


def _room(report: FarmerReport) -> Text:
    if report.farmer.lapsed:
        return Text("lapsed", style="red")
    return (
        Text(format_size(report.free_bytes)) if report.free_bytes is not None else Text("silent", style="red")
    )


def balance_screen(address: Address, funds: Funds) -> RenderableType:
    """What there is to pay with, and where to send more; in a delegate's home, what it may spend."""
    if funds.limit is not None:
        return facts(
            [
                ("account", address),
                ("delegate", funds.address),
                ("may spend", f"{funds.unit.exact(funds.vault)} of the account's vault now"),
                ("for gas", f"{funds.native / WEI:.6g} gas tokens"),
            ]
        )
    return facts(
        [
            ("address", address),
            ("vault", funds.unit.exact(funds.vault)),
            ("wallet", funds.unit.exact(funds.wallet)),
            ("for gas", f"{funds.native / WEI:.6g} gas tokens"),
        ]
    )
