"""`grange simulate`: years of a network; `check`: the simulation beside the closed form; `policy`: a drawing;
`gang`: what farmers that act as one get of an order.

Decides the options and what is printed. Leaves the defaults and their reasons to `assumptions`, and errors to
`grange.cli`.
"""

import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from grange.cli.exit_codes import ExitCode
from grange.cli.presenter import explained
from grange.errors import Category, Misuse, UserError
from grange_simulate import policy_drawing, report
from grange_simulate.assumptions import (
    DEFAULT_CODES,
    GRID_DAYS,
    Assumptions,
    Code,
    Farmers,
    Lines,
    MandateTerms,
    Prices,
    Rules,
)
from grange_simulate.check import compared
from grange_simulate.drawing import drawn
from grange_simulate.gang import DEFAULT_HONEST, HONEST_SLOTS, Case, Gang, Renter, Taken, taken_of_all
from grange_simulate.intervals import estimated, in_percent, short_percent

DEFAULT_SEED = 1
DEFAULT_SHARES = (0.05, 0.1, 0.2, 0.3, 0.4)
DEFAULT_GANG_CODES = ("4/8", "10/30")
DEFAULT_GANG_ORDERS = 200
_CODE = re.compile(r"([0-9]{1,3})(?:/| of )([0-9]{1,3})")
_FARMERS, _LINES, _PRICES, _RULES, _WORLD = Farmers(), Lines(), Prices(), Rules(), Assumptions()
_MANDATE = MandateTerms()

app = typer.Typer(help="Simulate years of a network: losses, repair traffic, cost.", no_args_is_help=False)
_out = Console(highlight=False, markup=False, emoji=False)

Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same numbers.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON value instead of tables.")]


@app.callback(invoke_without_command=True)
def simulate(  # noqa: PLR0917  typer makes options of parameters
    context: typer.Context,
    farmers: Annotated[int, typer.Option(help="Farmers in a network.")] = _FARMERS.count,
    years: Annotated[float, typer.Option(help="How long each network is watched.")] = _WORLD.years,
    seed: Seed = DEFAULT_SEED,
    code: Annotated[
        list[str] | None,
        typer.Option(help="k/n; again for another.", show_default="4/8 10/20 10/30 29/80"),
    ] = None,
    orders: Annotated[int, typer.Option(help="Orders in each network.")] = _WORLD.orders,
    order_gib: Annotated[float, typer.Option(help="What an order holds, before coding.")] = _WORLD.order_gib,
    networks: Annotated[int, typer.Option(help="Independent networks.")] = _WORLD.networks,
    lifetime_days: Annotated[float, typer.Option(help="How long a farmer stays, on average.")] = (
        _FARMERS.lifetime_days
    ),
    lifetime_shape: Annotated[
        float, typer.Option(help="Weibull; 1 is a constant rate, below it the young leave sooner.")
    ] = _FARMERS.lifetime_shape,
    shocks: Annotated[int, typer.Option(min=0, max=100, help="Shocks in each network.")] = _FARMERS.shocks,
    shock_share: Annotated[float, typer.Option(help="Farmers that vanish in one.")] = _FARMERS.shock_share,
    shock_hours: Annotated[
        float | None, typer.Option(help="They come back after so long.", show_default="never")
    ] = None,
    upload_mbit: Annotated[float, typer.Option(help="Of the median farmer.")] = _LINES.upload_mbit,
    download_mbit: Annotated[float, typer.Option(help="Of the median farmer.")] = _LINES.download_mbit,
    rent: Annotated[float, typer.Option(help="Tokens for a TiB in slots and a month.")] = (
        _PRICES.rent_per_tib_month
    ),
    egress: Annotated[float, typer.Option(help="Tokens for a TiB that is read.")] = _PRICES.egress_per_tib,
    collateral_epochs: Annotated[
        int, typer.Option(help="Days of pay that a farmer has at stake: half of it is the greatest bounty.")
    ] = _RULES.collateral_epochs,
    max_misses: Annotated[int, typer.Option(help="Days missed with which a farmer is evicted.")] = (
        _RULES.max_misses
    ),
    auction_epochs: Annotated[int, typer.Option(help="Days in which a bounty rises.")] = (
        _RULES.auction_epochs
    ),
    extension_days: Annotated[
        int,
        typer.Option(
            help="Each renter extends so often, and fills the vacant slots.", show_default="0: never"
        ),
    ] = _WORLD.extension_days,
    mandate_term_days: Annotated[
        int,
        typer.Option(
            help=f"Orders end, and their keepers go on by mandate, for so long: a multiple of {GRID_DAYS}.",
            show_default="0: orders do not end",
        ),
    ] = _MANDATE.term_days,
    mandate_headroom: Annotated[
        float, typer.Option(help="A mandate pays this share more than the dearest slot cost at first.")
    ] = _MANDATE.headroom,
    price_spread: Annotated[
        float, typer.Option(help="How far farmers' prices lie apart: the deviation of their logarithm.")
    ] = _PRICES.spread,
    price_rise: Annotated[
        float, typer.Option(help="The share by which farmers ask more every year.")
    ] = _PRICES.rise_per_year,
    as_json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw it: an SVG file.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.", show_default="one for each processor")] = (
        os.cpu_count() or 1
    ),
) -> None:
    """Play years of a network for several codes: how likely an order is lost, and what repair takes."""
    if context.invoked_subcommand is not None:
        return
    with explained(as_json=as_json):
        assumptions = Assumptions(
            years=years,
            orders=orders,
            order_gib=order_gib,
            networks=networks,
            extension_days=extension_days,
            farmers=Farmers(
                count=farmers,
                lifetime_days=lifetime_days,
                lifetime_shape=lifetime_shape,
                shocks=shocks,
                shock_share=shock_share,
                shock_for_good=shock_hours is None,
                shock_hours=_FARMERS.shock_hours if shock_hours is None else shock_hours,
            ),
            lines=Lines(upload_mbit=upload_mbit, download_mbit=download_mbit),
            rules=Rules(
                collateral_epochs=collateral_epochs, max_misses=max_misses, auction_epochs=auction_epochs
            ),
            prices=Prices(
                rent_per_tib_month=rent, egress_per_tib=egress, spread=price_spread, rise_per_year=price_rise
            ),
            mandate=MandateTerms(term_days=mandate_term_days, headroom=mandate_headroom),
        )
        codes = [_code(text) for text in code] if code else list(DEFAULT_CODES)
        results = report.run(assumptions, codes, seed, workers=workers)
        if plot is not None:
            _draw(plot, results, assumptions)
    if as_json:
        typer.echo(json.dumps(report.as_json(assumptions, results, seed), indent=2))
    else:
        _show(assumptions, results, seed)


@app.command()
def check(seed: Seed = DEFAULT_SEED, as_json: Json = False) -> None:
    """Simulate what has an exact answer, and compare: independent farmers, constant rates."""
    comparisons = list(compared(seed))
    if as_json:
        typer.echo(json.dumps([report.comparison_as_json(one) for one in comparisons], indent=2))
    else:
        columns = ("stay", "rebuilt", "exact", "simulated", "")
        table = _table("Orders lost in half a year, by how long farmers stay and rebuilding takes", *columns)
        for one in comparisons:
            waits = "never" if one.repair_days is None else f"{one.repair_days:g} days"
            found = one.simulated
            table.add_row(
                str(one.code),
                f"{one.lifetime_days:g} days",
                waits,
                f"{one.exact:.4f}",
                f"{found.probability:.4f} ({found.low:.4f} to {found.high:.4f})",
                "agrees" if one.agrees else "DIFFERS",
            )
        _out.print(table)
    if not all(one.agrees for one in comparisons):
        raise typer.Exit(ExitCode.DIFFERS)


@app.command()
def gang(  # noqa: PLR0917  typer makes options of parameters
    share: Annotated[
        list[float] | None,
        typer.Option(help="Of all stake; again for another.", show_default="0.05 0.1 0.2 0.3 0.4"),
    ] = None,
    code: Annotated[
        list[str] | None, typer.Option(help="k/n; again for another.", show_default="4/8 10/30")
    ] = None,
    farmers: Annotated[int, typer.Option(help="Honest farmers.")] = DEFAULT_HONEST,
    name_slots: Annotated[
        float, typer.Option(help="Slots that each name of the gang has the collateral for.")
    ] = HONEST_SLOTS,
    orders: Annotated[int, typer.Option(help="Orders placed in each case.")] = DEFAULT_GANG_ORDERS,
    seed: Seed = DEFAULT_SEED,
    as_json: Json = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.", show_default="one for each processor")] = (
        os.cpu_count() or 1
    ),
) -> None:
    """Place orders beside a gang of farmers that ask half the usual price: how many slots it gets."""
    with explained(as_json=as_json):
        cases = [
            Case(gang=Gang(share=one, honest=farmers, name_slots=name_slots), renter=renter, code=_code(text))
            for text in code or DEFAULT_GANG_CODES
            for renter in Renter
            for one in share or DEFAULT_SHARES
        ]
        results = taken_of_all(cases, orders=orders, seed=seed, workers=workers)
    if as_json:
        found = [asdict(case) | asdict(taken) for case, taken in zip(cases, results, strict=True)]
        typer.echo(json.dumps({"seed": seed, "cases": found}, indent=2))
    else:
        _show_gang(cases, results)


@app.command()
def policy(
    plot: Annotated[Path, typer.Option(help="The SVG file to write.")],
    code: Annotated[str, typer.Option(help="k/n.")] = "10/30",
) -> None:
    """Draw when a repairer acts and when it waits."""
    with explained():
        _write(plot, policy_drawing.drawn(_WORLD, _code(code)))


def _show(assumptions: Assumptions, results: list[report.Result], seed: int) -> None:
    farmers = assumptions.farmers
    total = assumptions.orders * assumptions.networks
    _out.print(
        f"{farmers.count} farmers, {assumptions.years:g} years, seed {seed}. For each code {total} orders of"
        f" {assumptions.order_gib:g} GiB in {assumptions.networks} networks. Farmers stay for"
        f" {farmers.lifetime_days:g} days on average; {_shock_in_words(farmers)}\n"
    )
    shock = f"when {farmers.shock_share:.0%} vanish"
    losses = _table("Orders lost, in percent (95 % interval)", "in a year", "without shock", shock)
    for one in results:
        losses.add_row(
            str(one.code),
            in_percent(one.loss_per_year),
            in_percent(one.calm_loss_per_year),
            "no shock" if one.shock_loss is None else in_percent(one.shock_loss),
        )
    _out.print(losses)
    _explain(results)
    if assumptions.mandate.term_days:
        _show_mandates(assumptions, results)
    columns = ("read", "wasted", "sent", "renter", "cost", "bounty", "rent", "days", "unpaid")
    repair = _table("Repair: TiB and tokens for each TiB stored for a month", *columns)
    for one in results:
        traffic = (one.read_tib, one.wasted_tib, one.written_tib, one.read_by_renters_tib)
        amounts = (*traffic, one.repair_cost, one.bounties, one.rent)
        rest = (f"{one.vacant_days:.0f}", f"{one.unpaid:.1%}")
        repair.add_row(str(one.code), *(f"{amount:.2f}" for amount in amounts), *rest)
    _out.print(repair)
    _out.print(
        "wasted: of what is read, by repairers that came too late. renter: what renters read beside that,"
        " when they extend. cost: egress and gas, of repairers. days: how long a"
        " slot is vacant. unpaid: the part of the time in which an order is in danger and a repair does not"
        " pay until another slot falls vacant, if then; its renter may repair it."
    )


def _show_mandates(assumptions: Assumptions, results: list[report.Result]) -> None:
    term = assumptions.mandate.term_days
    mandates = _table(f"Extended by mandate every {term} days", "over in a year, percent", "left out")
    for one in results:
        mandates.add_row(str(one.code), in_percent(one.ended_per_year), f"{one.left_out:.2f}")
    _out.print(mandates)
    _out.print(
        "over: orders that end, since too many of their farmers do not go on; they are among those lost."
        " left out: slots that begin vacant, each time an order is extended.\n"
    )


def _show_gang(cases: list[Case], results: list[Taken]) -> None:
    one = cases[0].gang
    _out.print(
        f"{one.honest} honest farmers, which have at stake {HONEST_SLOTS} slots each on average. Each name of"
        f" the gang has {one.name_slots:g}. {sum(results[0].orders)} orders in each case.\n"
    )
    columns = ("at stake", "slots", "k or more", "in danger", "all", "price")
    for code, renter in dict.fromkeys((case.code, case.renter) for case in cases):
        table = _table(f"{code}, a renter that {renter}; orders in percent", *columns, first="share")
        for case, found in zip(cases, results, strict=True):
            if (case.code, case.renter) == (code, renter):
                counts = (found.enough, found.danger, found.everything)
                table.add_row(
                    f"{case.gang.share:.0%}",
                    f"{case.gang.stake_slots:,.0f}",
                    f"{found.slots:.1f}",
                    *(in_percent(estimated(count, found.orders)) for count in counts),
                    f"{found.price:.2f}",
                )
        _out.print(table)
    _out.print(
        "share: of all stake. at stake: what the gang has, in slots at the usual price. k or more: it can"
        " read the order, and compute what it does not keep. in danger: nobody can read it without the gang."
        " price: what an order costs, as a multiple of the usual."
    )


def _shock_in_words(farmers: Farmers) -> str:
    if not farmers.shocks:
        return "no shock strikes."
    often = "once" if farmers.shocks == 1 else f"{farmers.shocks} times"
    stay = "for good" if farmers.shock_for_good else f"for {farmers.shock_hours:g} hours"
    return f"{often} {farmers.shock_share:.0%} of them vanish at once, {stay}."


def _table(title: str, *headings: str, first: str = "code") -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in (first, *headings):
        table.add_column(heading, no_wrap=True)
    return table


def _explain(results: list[report.Result]) -> None:
    fates = [one.calm_loss_per_year.one_fate_high for one in results]
    known = [fate for fate in fates if fate is not None]
    if known:
        _out.print(
            'Where nothing was lost, "<" takes orders for independent. If all orders of a network shared one'
            f" fate, it would be {short_percent(100 * known[0])} in a year: only --networks narrows that.\n"
        )


def _code(text: str) -> Code:
    match = _CODE.fullmatch(text)
    if match is None:
        raise Misuse(f"{text!r} is not a code: write k/n, such as 10/30")
    return Code(k=int(match[1]), n=int(match[2]))


def _draw(path: Path, results: list[report.Result], assumptions: Assumptions) -> None:
    title = f"{assumptions.farmers.count} farmers, {assumptions.years:g} years"
    _write(path, drawn(results, title))


def _write(path: Path, drawing: str) -> None:
    try:
        path.write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Choose another with --plot.",
            category=Category.FILES,
        ) from error
