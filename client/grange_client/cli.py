"""The command `grange`: what a renter types, and the commands of other packages beside it.

Decides the commands and their options, when a question is asked, and that every error ends in words and an
exit code (`explain` has the table). Leaves the work to `renter`, looks to `screens`, JSON to `output`,
commands of other packages to `plugins`.
"""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from grange.chain import Chain
from grange.errors import GrangeError
from grange.memory import keep_freed_memory
from grange.units import MAX_SLOTS, parse_tokens
from grange_client import health_screens, output, screens
from grange_client.config import (
    Config,
    Network,
    home_path,
    is_set_up,
    load,
    network_from_file,
    parse_network,
    set_up,
)
from grange_client.errors import EXIT_INTERRUPTED, EXIT_OTHER, AlreadySetUp
from grange_client.explain import explain
from grange_client.plan import Wish
from grange_client.plugins import PLUGINS, add_plugins
from grange_client.renter import Renter
from grange_client.words import identity, new_words

Result = TypeVar("Result")

KEPT_MEMORY_BYTES = 512 << 20
"""Freed memory that stays ours: the window of pieces of an upload, and as much again on its way."""

app = typer.Typer(
    help="Store files with farmers who are paid for keeping them, and get them back with twelve words.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


class _Verbosity:
    """Whether tracebacks are shown; set by --verbose wherever it stands."""

    on = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetch:
    """What `get` was asked for."""

    wanted: str
    destination: Path
    only: tuple[bytes, ...]
    overwrite: bool
    max_price: int | None
    yes: bool


def _be_verbose(value: bool) -> bool:
    _Verbosity.on = _Verbosity.on or value
    return value


Home = Annotated[
    Path | None,
    typer.Option("--home", help="Where words and settings are.", envvar="GRANGE_HOME", show_envvar=True),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON value instead of a table; base units.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", callback=_be_verbose, is_eager=True, help="Show tracebacks.")
]
Wanted = Annotated[str, typer.Argument(metavar="NAME|ORDER", help="An order's name, or how its id begins.")]


@app.command()
def init(
    *,
    rpc: Annotated[str | None, typer.Option(help="The chain's JSON-RPC endpoint.")] = None,
    market: Annotated[str | None, typer.Option(help="The market's address.")] = None,
    devnet: Annotated[
        Path | None, typer.Option(help="The file that `grange devnet` wrote, instead of the two.")
    ] = None,
    first_block: Annotated[
        int, typer.Option(min=0, help="The block in which the market was deployed, if known.")
    ] = 0,
    words: Annotated[bool, typer.Option("--words", help="Take twelve words that exist already.")] = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Make the twelve words, or take them, and remember the market."""
    folder = home_path(home)
    if is_set_up(folder):
        raise AlreadySetUp(
            f"{folder} is set up already, and was left as it is.",
            todo="`grange balance` shows its address. Use --home for another.",
        )
    network = _run(_checked_network(_network(rpc, market, devnet, first_block)))
    chosen = _asked_words() if words else new_words()
    config = set_up(folder, words=chosen, network=network)
    if not words:
        _out.print("These twelve words open everything you store. Write them down, in this order:\n")
        _out.print(screens.words_screen(chosen))
        _out.print("\nWhoever has them has your files and your tokens. They are not shown again.\n")
    _out.print(screens.facts([("address", config.identity.wallet.address), ("home", str(folder))]))
    if not words:
        _out.print("\nSend tokens and some coin for gas to that address. On a devnet:")
        _out.print(f"  grange devnet fund {config.identity.wallet.address}", soft_wrap=True)


@app.command()
def put(  # noqa: PLR0917  typer makes options of parameters
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files and directories.")],
    name: Annotated[
        str | None, typer.Option(help="What to call it; the first path's name if not given.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", min=1, max=MAX_SLOTS, help="Farmers needed to get it back.")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, max=MAX_SLOTS, help="Farmers that keep it.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="How many epochs, at least.")] = None,
    until: Annotated[int | None, typer.Option(min=1, help="The epoch to keep it until, instead.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Store files and directories as one order, in one transaction."""
    if epochs is not None and until is not None:
        raise typer.BadParameter("--epochs and --until say the same thing: give one of them.")
    _run(_put(paths, Wish(k=k, n=n, epochs=epochs, until=until, name=name), yes, as_json, home))


@app.command()
def get(  # noqa: PLR0917
    wanted: Wanted,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="Where to put it.")] = Path(),
    only: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Only this, as `stat --files` shows it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that differ.")] = False,
    max_price: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="What reading may cost at most; asks no more.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Get an order back, or parts of it, into a directory."""
    fetch = _Fetch(
        wanted=wanted,
        destination=destination,
        only=tuple(os.fsencode(path) for path in only or ()),
        overwrite=overwrite,
        max_price=None if max_price is None else parse_tokens(max_price),
        yes=yes,
    )
    _run(_get(fetch, as_json, home))


@app.command()
def ls(as_json: Json = False, home: Home = None, verbose: Verbose = False) -> None:
    """List what is stored."""

    async def run() -> None:
        async with _renter(home) as renter:
            with screens.Display(_err) as display:
                orders = await renter.orders(display)
            epoch = (await renter.market.head()).epoch
        if as_json:
            _print_json([output.order_json(known, epoch) for known in orders])
        else:
            _out.print(screens.orders_screen(orders, epoch))
            if waiting := [known for known in orders if known.awaits_closing(epoch)]:
                _err.print(screens.waiting_screen(waiting), soft_wrap=True)

    _run(run())


@app.command()
def stat(
    wanted: Wanted,
    files: Annotated[bool, typer.Option("--files", help="List every name in it.")] = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Show one order: its farmers, until when, what it cost."""

    async def run() -> None:
        async with _renter(home) as renter:
            with screens.Display(_err) as display:
                known = await renter.find(wanted, display)
                manifest = await renter.manifest(known.order, display) if files else None
            epoch = (await renter.market.head()).epoch
            endpoints = {farmer.id: farmer.endpoint for farmer in await renter.market.farmers()}
        if as_json:
            document = output.order_json(known, epoch)
            if manifest is not None:
                document["entries"] = output.entries_json(manifest)
            _print_json(document)
            return
        _out.print(*screens.order_screen(known, epoch, endpoints), sep="\n\n")
        if known.awaits_closing(epoch):
            _err.print(screens.waiting_screen([known]), soft_wrap=True)
        if manifest is not None:
            _out.print("", *screens.files_screen(manifest), sep="\n", soft_wrap=True)

    _run(run())


@app.command()
def extend(  # noqa: PLR0917
    wanted: Wanted,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="How many epochs more, at least; one grid period if not given.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Keep an order for longer; nothing is uploaded as long as its farmers go on."""

    async def run() -> None:
        async with _renter(home) as renter:
            with screens.Display(_err) as display:
                known = await renter.find(wanted, display)
                renewal = await renter.renewal(known.order, epochs, display)
            if not as_json:
                _out.print(screens.renewal_screen(known.name, renewal))
            if not yes and not typer.confirm("Extend it?", err=True):
                raise typer.Exit(EXIT_OTHER)
            with screens.Display(_err) as display:
                extended = await renter.extend(renewal, display)
        if as_json:
            _print_json(output.extended_json(known, extended, renewal))
            return
        cost = screens.tokens_text(extended.order.cost)
        short = extended.order.id.hex()[: screens.ID_CHARACTERS]
        _out.print(f"Extended until epoch {extended.order.end} for {cost} tokens, order {short}.")

    _run(run())


@app.command()
def health(
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|ORDER]", help="One order, slot by slot; all if not given."),
    ] = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Show how many farmers still keep what is stored, and how likely it is lost before it ends."""

    async def run() -> None:
        async with _renter(home) as renter:
            with screens.Display(_err) as display:
                if wanted is None:
                    epoch = (await renter.market.head()).epoch
                    orders = [known for known in await renter.orders(display) if known.order.end > epoch]
                else:
                    orders = [await renter.find(wanted, display)]
                found = [(known, await renter.condition(known.order)) for known in orders]
        if as_json:
            _print_json([output.health_json(known, outlook) for known, outlook in found])
            return
        _out.print(health_screens.health_screen(found))
        if wanted is not None:
            _out.print("", health_screens.slots_screen(found[0][1]), sep="\n")
        for known, outlook in found:
            if (danger := health_screens.danger_screen(known, outlook)) is not None:
                _err.print(danger, soft_wrap=True)

    _run(run())


@app.command()
def farmers(as_json: Json = False, home: Home = None, verbose: Verbose = False) -> None:
    """Show who keeps data here, at what price, how reliably."""

    async def run() -> None:
        async with _renter(home) as renter:
            reports = await renter.farmers()
        if as_json:
            _print_json([output.farmer_json(report) for report in reports])
        else:
            _out.print(screens.farmers_screen(reports))

    _run(run())


@app.command()
def balance(
    address: Annotated[bool, typer.Option("--address", help="Only the address; asks no chain.")] = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Show the address and what there is to pay with."""
    if address:
        # Not through rich: scripts take it from here.
        print(load(home_path(home)).identity.wallet.address)
        return
    _run(_balance(as_json, home))


@app.command()
def deposit(amount: str, as_json: Json = False, home: Home = None, verbose: Verbose = False) -> None:
    """Move tokens from the wallet into the vault, ahead of time."""

    async def run() -> None:
        async with _renter(home) as renter:
            await renter.deposit(parse_tokens(amount))
        await _balance(as_json, home)

    _run(run())


@app.command()
def withdraw(
    amount: Annotated[str | None, typer.Argument(help="Tokens to announce; without, take out.")] = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Announce what you will take out of the vault; later, without an amount, move it into the wallet."""

    async def run() -> None:
        async with _renter(home) as renter:
            if amount is None:
                await renter.withdraw()
            else:
                announced = await renter.request_withdrawal(parse_tokens(amount))
                if announced is not None:
                    _err.print(f"Announced. From epoch {announced.ready_epoch} on: grange withdraw")
        await _balance(as_json, home)

    _run(run())


@app.command()
def close(
    wanted: Annotated[
        list[str], typer.Argument(metavar="NAME|ORDER...", help="Orders that are over, by name or id.")
    ],
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """End orders that are over: what nobody proved comes back to the vault, with compensation."""

    async def run() -> None:
        closed = []
        async with _renter(home) as renter:
            with screens.Display(_err) as display:
                for known in [await renter.find(one, display) for one in wanted]:
                    closed.append((known, await renter.close(known.order, display)))
        if as_json:
            _print_json([output.closing_json(known, closing) for known, closing in closed])
        else:
            _out.print(screens.closings_screen(closed))

    _run(run())


async def _put(paths: Sequence[Path], wish: Wish, yes: bool, as_json: bool, home: Path | None) -> None:
    async with _renter(home) as renter:
        with screens.Display(_err) as display:
            quote = await renter.quote(paths, wish, display)
        if quote.scan.skipped:
            _err.print(screens.skipped_screen(quote.scan.skipped))
        if not as_json:
            _out.print(screens.quote_screen(quote, await renter.funds()))
        if not yes and not typer.confirm("Store it?", err=True):
            raise typer.Exit(EXIT_OTHER)
        with screens.Display(_err) as display:
            stored = await renter.put(quote, display)
            seconds = display.seconds
    if as_json:
        _print_json(output.stored_json(stored, quote, seconds))
        return
    speed = screens.size_text(quote.scan.content_bytes / seconds) + "/s"
    _out.print(
        f"Stored in {seconds:.1f} s ({speed}), order {stored.order.id.hex()[: screens.ID_CHARACTERS]}."
    )


async def _get(fetch: _Fetch, as_json: bool, home: Path | None) -> None:
    async with _renter(home) as renter:
        with screens.Display(_err) as display:
            known = await renter.find(fetch.wanted, display)
            fare = await renter.fare(known.order, only=fetch.only, watch=display)
        max_price = fare.at_most if fetch.max_price is None else fetch.max_price
        if fare.expected:
            _err.print(screens.fare_screen(fare, max_price))
            if fetch.max_price is None and not fetch.yes and not typer.confirm("Get it?", err=True):
                raise typer.Exit(EXIT_OTHER)
        with screens.Display(_err) as display:
            restored = await renter.get(
                known.order,
                fetch.destination,
                only=fetch.only,
                overwrite=fetch.overwrite,
                max_price=max_price,
                watch=display,
            )
            seconds = display.seconds
    if as_json:
        _print_json(output.restored_json(known, restored, fetch.destination, seconds))
        return
    speed = screens.size_text(restored.size_bytes / seconds) + "/s"
    there = f" {restored.skipped:,} were there already." if restored.skipped else ""
    there += f" Reading cost {screens.tokens_text(restored.paid)} tokens." if restored.paid else ""
    _out.print(f"{restored.files:,} files into {fetch.destination} in {seconds:.1f} s ({speed}).{there}")


async def _balance(as_json: bool, home: Path | None) -> None:
    async with _renter(home) as renter:
        funds = await renter.funds()
        address = renter.address
    if as_json:
        _print_json(output.funds_json(address, funds))
    else:
        _out.print(screens.balance_screen(address, funds))


@asynccontextmanager
async def _renter(home: Path | None) -> AsyncIterator[Renter]:
    config: Config = load(home_path(home))
    async with Renter.open(config) as renter:
        yield renter


def _network(rpc: str | None, market: str | None, devnet: Path | None, first_block: int) -> Network:
    if devnet is not None and rpc is None and market is None:
        return network_from_file(devnet)
    if devnet is not None or rpc is None or market is None:
        raise typer.BadParameter(
            "Give --rpc and --market, or --devnet with the file that `grange devnet` wrote."
        )
    fields = {"rpc": rpc, "market": market, "first_block": first_block}
    return parse_network(json.dumps(fields), Path("command line"))


async def _checked_network(network: Network) -> Network:
    """Look whether the market is there, and remember its chain's id."""
    async with Chain.connect(network.rpc, network.market, expected_chain_id=network.chain_id) as chain:
        return network.model_copy(update={"chain_id": chain.chain_id})


def _asked_words() -> str:
    if sys.stdin.isatty():
        text: str = typer.prompt("The twelve words", err=True)
    else:
        text = sys.stdin.readline()
    identity(text)
    return text


def _print_json(document: object) -> None:
    # Not through rich, which would break long lines.
    print(json.dumps(document, ensure_ascii=True))


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(work)
    except KeyboardInterrupt:
        _err.print("Interrupted. `grange ls` shows what is stored.")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one: it moves bytes faster."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return None
    return uvloop.new_event_loop


def main() -> None:
    """The console script."""
    arguments = sys.argv[1:]
    keep_freed_memory(KEPT_MEMORY_BYTES)
    try:
        add_plugins(
            app,
            tuple(entry_points(group=PLUGINS)),
            argv=arguments,
            warn=lambda text: _err.print(text, style="yellow"),
        )
        app(args=arguments)
    except GrangeError as error:
        if _Verbosity.on:
            traceback.print_exc()
        explanation = explain(error)
        _err.print(
            screens.error_screen(explanation.what, explanation.means, explanation.todo, explanation.details),
            soft_wrap=True,
        )
        sys.exit(explanation.exit_code)
