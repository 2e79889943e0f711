"""`mandate`: standing orders by which files live on without us.

Decides what is asked and shown. Leaves the work to `mandates`.
"""

from dataclasses import replace
from typing import Annotated, Any

import typer

from grange.chain.call_sizes import give_mandate
from grange.chain.orders import OrderState
from grange.cli.confirm import confirm
from grange.cli.passphrase_options import opens_keys
from grange.times import BlockClock
from grange.token_unit import TokenUnit
from grange.types import Epoch, MandateTerms, Parameters
from grange.units import format_count
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose, Yes
from grange_client.cli.screens.tables import ID_CHARACTERS, facts, new_table
from grange_client.mandates import MandateState, longest_term, next_costs, propose
from grange_client.orders.plan import Funds, check_gas

mandate = typer.Typer(
    help="Standing orders: anyone may extend your orders for a fee, within bounds.", no_args_is_help=True
)


@mandate.command("give")
@opens_keys
def give(  # noqa: PLR0917
    wanted: Annotated[
        list[str], typer.Argument(metavar="NAME|ORDER...", help="What is to be kept alive, by name or id.")
    ],
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="For how many epochs from now, at least.")],
    fee: Annotated[
        str, typer.Option("--fee", metavar="TOKENS", help="What anyone who extends an order gets each time.")
    ] = "0.1",
    max_price: Annotated[
        str | None,
        typer.Option(
            "--max-price",
            metavar="TOKENS",
            help="The most that a GiB may cost in an epoch; a quarter more than now if not given.",
        ),
    ] = None,
    max_read_price: Annotated[
        str | None,
        typer.Option(
            "--max-read-price",
            metavar="TOKENS",
            help="The most that farmers may ask for reading a GiB; a quarter more than now if not given.",
        ),
    ] = None,
    term_epochs: Annotated[
        int | None,
        typer.Option(
            "--term-epochs",
            min=1,
            help="How long each extension is. Long ones are safer: an order can be lost where one ends. "
            "If not given, as long as the market lets it be and the vault can pay for now, and at least as "
            "long as the order was.",
        ),
    ] = None,
    in_all: Annotated[
        str | None,
        typer.Option("--in-all", metavar="TOKENS", help="The most that all of it may cost."),
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Let orders live on without you: anyone who extends them is paid a fee out of your vault."""

    async def run() -> None:
        async with common.renter(home) as renter:
            with common.display(renter) as display:
                orders = [(await renter.find(one, display)).order for one in wanted]
            clock, funds, unit = await renter.market.clock(), await renter.funds(), renter.market.unit
            # Counted also where nothing says what gas is worth.
            gas, prices = await renter.gas_value(), await renter.market.gas_prices()
            gas, size = replace(gas, prices=prices), give_mandate(len(orders))
            terms = propose(
                orders,
                fee=unit.parse(fee),
                until=Epoch(clock.epoch + epochs),
                vault=funds.vault,
                parameters=renter.market.parameters,
                highest_price=None if max_price is None else unit.parse(max_price),
                highest_egress_price=None if max_read_price is None else unit.parse(max_read_price),
                term_epochs=term_epochs,
                total=None if in_all is None else unit.parse(in_all),
            )
            if not as_json:
                lasts = _term_text(terms, orders, funds.vault, renter.market.parameters)
                screen = _terms_screen(terms, orders, funds, clock, lasts=lasts, gas=gas.describe(size))
                common.out.print(screen)
            check_gas(size, funds, prices)
            if not yes:
                confirm("Give this mandate?")
            number, receipt = await renter.mandates.give(terms, [order.id for order in orders])
        if as_json:
            common.print_json({"number": number, "block": receipt.block, **_terms_json(terms)})
        else:
            common.out.print(f"Given, in block {receipt.block}. To end it: grange mandate revoke {number}")

    common.run(run())


@mandate.command("list")
@opens_keys
def list_mandates(as_json: Json = False, home: Home = None, verbose: Verbose = False) -> None:
    """Show every mandate, what it covers, and whether the vault suffices."""

    async def run() -> None:
        async with common.renter(home, unlock=False) as renter:
            orders = {known.order.id: known.order for known in await renter.orders()}
            listed = await renter.mandates.listed(orders.values())
            clock = await renter.market.clock()
            if as_json:
                common.print_json([_json(one) for one in listed])
                return
            if not listed:
                common.out.print("You gave no mandate yet.")
                return
            common.out.print(_table(listed, clock, renter.market.unit))
            await common.warn_of_vault(renter)

    common.run(run())


@mandate.command("revoke")
@opens_keys
def revoke(
    numbers: Annotated[list[int], typer.Argument(metavar="NUMBER...", help="Which mandates.")],
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """End mandates. What was extended by them goes on."""

    async def run() -> None:
        async with common.renter(home) as renter:
            receipt = await renter.mandates.revoke(numbers)
            common.err.print(f"Revoked, in block {receipt.block}.")

    common.run(run())


def _terms_screen(
    terms: MandateTerms, orders: list[OrderState], funds: Funds, clock: BlockClock, *, lasts: str, gas: str
) -> Any:
    """The bounds in tokens and dates, what the vault must hold, and what giving it costs."""
    needed, unit, vault = next_costs(orders, terms), funds.unit, funds.vault
    rows = [
        ("keeps alive", format_count(len(orders), "order")),
        ("until", clock.describe_epoch(terms.until)),
        ("at most, for a GiB and epoch", unit.rounded_up(terms.highest_price)),
        ("at most, for a GiB that is read", unit.rounded_up(terms.highest_egress_price)),
        ("fee for each extension", unit.exact(terms.fee)),
        ("each extension lasts", lasts),
        ("at most, in all", unit.rounded_up(terms.total)),
        ("the vault must hold, next time", f"up to {unit.rounded_up(needed)}"),
        ("gas", f"up to {gas}, out of the wallet, once"),
    ]
    if vault < needed:
        held = f"{unit.exact(vault)}: move more in with `grange deposit`"
        rows.append(("the vault holds now", held))
    return facts(rows)


def _term_text(terms: MandateTerms, orders: list[OrderState], vault: int, parameters: Parameters) -> str:
    """How long an extension is, and whether a longer one would be safer, and what it takes."""
    lasts = format_count(terms.term_epochs, "epoch")
    longest = longest_term(orders, terms, parameters)
    if terms.term_epochs >= longest:
        return f"{lasts}. No longer one is of use: the fewer terms end, the safer the order"
    more = f"With a longer one, up to {format_count(longest, 'epoch')}, it is safer"
    why = "; deposit more first" if vault < next_costs(orders, replace(terms, term_epochs=longest)) else ""
    return f"{lasts}. {more}: --term-epochs{why}"


def _table(listed: list[MandateState], clock: BlockClock, unit: TokenUnit) -> Any:
    table = new_table("mandate|", "orders", ">fee", ">at most, a GiB and epoch", ">left", "until")
    for one in listed:
        shown = one.mandate
        state = "revoked" if shown.revoked else clock.describe_epoch(shown.until)
        table.add_row(
            str(one.number),
            ", ".join(order.hex()[:ID_CHARACTERS] for order in one.covers),
            unit.exact(shown.fee),
            unit.rounded_up(shown.highest_price),
            unit.exact(shown.left),
            state if one.is_open(clock.epoch) or shown.revoked else "over",
        )
    return table


def _terms_json(terms: MandateTerms) -> dict[str, Any]:
    return {
        "highest_price": str(terms.highest_price),
        "highest_egress_price": str(terms.highest_egress_price),
        "fee": str(terms.fee),
        "until_epoch": terms.until,
        "term_epochs": terms.term_epochs,
        "total": str(terms.total),
    }


def _json(one: MandateState) -> dict[str, Any]:
    shown = one.mandate
    return {
        "number": one.number,
        "orders": [order.hex() for order in one.covers],
        "highest_price": str(shown.highest_price),
        "highest_egress_price": str(shown.highest_egress_price),
        "fee": str(shown.fee),
        "until_epoch": shown.until,
        "term_epochs": shown.term_epochs,
        "left": str(shown.left),
        "revoked": shown.revoked,
    }
