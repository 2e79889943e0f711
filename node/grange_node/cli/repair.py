"""`grange repair`: rebuild what vanished farmers kept, without a farm of one's own.

A farm repairs by itself with `grange farm run --repair`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from grange.chain import Chain, Receipt, Sender, Wallet
from grange.chain.call_sizes import EVICT, extend, refill_of_order, refilled_slot
from grange.chain.endpoint_notes import ENDPOINTS_NAME, EndpointNotes
from grange.chain.market_check import open_market
from grange.chain.market_pins import MarketPins
from grange.chain.network_file import Network, open_network
from grange.cli.fees import (
    FeeChoice,
    GasUsdCommandOption,
    GasUsdOption,
    MaxFeeOption,
    TokenUsdOption,
    changed_fees,
    show_fees,
)
from grange.cli.network_options import (
    FirstBlockOption,
    MarketOption,
    NetworkOption,
    RpcOption,
    TrustOption,
    chosen_network,
)
from grange.cli.parameter_words import describe_cautions
from grange.cli.passphrase_options import (
    changes_passphrase,
    command_passphrases,
    makes_keys,
    opens_keys,
)
from grange.cli.presenter import explained
from grange.memory import keep_freed_memory
from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.types import Address, address_from
from grange.units import format_size
from grange_node.chain.farm_market import TIMEOUTS
from grange_node.cli.common import (
    GUIDANCE,
    KEPT_MEMORY_BYTES,
    key_passphrase,
    name_in_logs,
    relock_keys,
    start_logging,
)
from grange_node.cli.earnings import AmountOption, pay_out, tell_paid_out
from grange_node.cli.repair_farmers_command import farmers
from grange_node.cli.repair_home import (
    CONFIG_NAME,
    KEY_NAME,
    RepairConfig,
    load_repair_address,
    load_repair_config,
    load_repair_key,
    make_repair_key,
    repair_home,
    save_repair_config,
)
from grange_node.config import TokenFile, write_private
from grange_node.errors import NotInitialised
from grange_node.loops import forever
from grange_node.repair.jobs import Job, Jobs
from grange_node.repair.repairer import POLL_SECONDS, Repairer

SHOWN_CALLS: Final = {
    "an eviction": EVICT,
    "refilling a slot of 30": refill_of_order(30) + refilled_slot(),
    "extending 30 slots by mandate": extend(30),
}

app = typer.Typer(
    help="Rebuild what vanished farmers kept, for a bounty. No farm is needed.", no_args_is_help=True
)

Home = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Where key, settings and repairs are.", envvar="GRANGE_REPAIR_HOME", show_envvar=True
    ),
]

app.add_typer(farmers, name="farmers")


@app.command()
@makes_keys
def init(
    *,
    network: NetworkOption = None,
    rpc: RpcOption = None,
    market: MarketOption = None,
    first_block: FirstBlockOption = None,
    trust_market: TrustOption = False,
    gas_price: Annotated[
        str, typer.Option(help="Tokens that a million gas is worth; 0 treats gas as free.")
    ] = "0",
    max_read_price: Annotated[
        str | None, typer.Option(help="Tokens that reading a GiB may cost; no limit if not given.")
    ] = None,
    doubling_blocks: Annotated[
        int | None,
        typer.Option(min=1, help="Blocks in which the number of repairers that may begin doubles."),
    ] = None,
    close_for: Annotated[
        list[str] | None,
        typer.Option(help="A renter whose orders are closed when they are over; repeatable."),
    ] = None,
    home: Home = None,
) -> None:
    """Make a key and write the settings. Can be repeated."""
    with explained(GUIDANCE):
        chosen = chosen_network(network, rpc, market, first_block)
        folder = repair_home(home)
        pins, found = asyncio.run(_identify(chosen, folder, trust_market))
        make_repair_key(folder, lambda: key_passphrase("the repairer's key", pins.chain_id, "repair", home))
        unit = found.unit or PLAIN_UNIT
        config = RepairConfig(
            rpc_url=found.rpc,
            chain_id=pins.chain_id,
            market_pins=pins,
            genesis_hash=found.genesis_hash,
            market=found.market,
            start_block=found.first_block,
            gas_price_per_million=unit.parse(gas_price),
            highest_read_price=None if max_read_price is None else unit.parse(max_read_price),
            doubling_blocks=doubling_blocks,
            token=TokenFile(symbol=unit.symbol, decimals=unit.decimals),
            close_for=tuple(address_from(renter) for renter in close_for or ()),
        )
        save_repair_config(folder, config)
        typer.echo(f"Repairer {load_repair_address(folder, command_passphrases())}")
        typer.echo(f"  settings  {folder}")
        typer.echo("It needs some gas tokens, and tokens to pay for what it reads.")
        if max_read_price is None:
            typer.echo("There is no limit to what it pays a GiB for reading: set one with --max-read-price.")
        where = f" --home {home}" if home else ""
        typer.echo(f"Start it with: grange repair run{where}")


@app.command()
@opens_keys
def run(
    *,
    home: Home = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write a JSON line here, in one step, once it is at work.")
    ] = None,
) -> None:
    """Repair orders and evict lapsed farmers when it pays, until SIGTERM or Ctrl-C."""
    with explained(GUIDANCE):
        folder = repair_home(home)
        start_logging()
        logging.getLogger("grange.repair").setLevel(logging.INFO)
        keep_freed_memory(KEPT_MEMORY_BYTES)
        config, wallet = load_repair_config(folder), load_repair_key(folder, command_passphrases())
        asyncio.run(_run(folder, config, wallet, ready_file))


@app.command()
def fees(
    *,
    home: Home = None,
    max_fee_gwei: MaxFeeOption = None,
    gas_usd: GasUsdOption = None,
    gas_usd_command: GasUsdCommandOption = None,
    token_usd: TokenUsdOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; amounts as strings.")] = False,
) -> None:
    """Show what gas costs and what is offered for it at most, or change that. With a price, repairs have to
    pay for their gas. A running repairer must be restarted to follow."""
    with explained(GUIDANCE, as_json=as_json):
        folder = repair_home(home)
        config = load_repair_config(folder)
        choice = FeeChoice(
            max_fee_gwei=max_fee_gwei,
            gas_usd=gas_usd,
            gas_usd_command=gas_usd_command,
            token_usd=token_usd,
        )
        changed = config.model_copy(update={"fees": changed_fees(config.fees, choice)})
        if changed != config:
            save_repair_config(folder, changed)
        asyncio.run(show_fees(connected(changed, folder), changed.fees, SHOWN_CALLS, as_json=as_json))


@app.command()
@opens_keys
def withdraw(
    *,
    home: Home = None,
    amount: AmountOption = None,
    to: Annotated[str | None, typer.Option(help="Who gets them; the repairer if not given.")] = None,
) -> None:
    """Pay out what the repairer has earned. It may run meanwhile."""
    with explained(GUIDANCE):
        folder = repair_home(home)
        config, wallet = load_repair_config(folder), load_repair_key(folder, command_passphrases())
        receiver = address_from(to) if to else wallet.address
        wanted = config.unit.parse(amount) if amount else None
        paid, receipt = asyncio.run(_withdraw(folder, config, wallet, receiver, wanted))
        tell_paid_out(config.unit, paid, receiver, receipt)


async def _withdraw(
    folder: Path, config: RepairConfig, wallet: Wallet, to: Address, amount: int | None
) -> tuple[int, Receipt]:
    async with connected(config, folder) as chain:
        return await pay_out(chain, wallet, config.fees, to, amount)


@app.command()
@opens_keys
def status(
    home: Home = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; amounts as strings in base units.")
    ] = False,
) -> None:
    """Show the repairs under way and those that ended, and what was found out of its endpoints, also while it
    runs."""
    with explained(GUIDANCE, as_json=as_json):
        folder = repair_home(home)
        address, jobs = load_repair_address(folder, command_passphrases()), Jobs(folder)
        under_way, done = jobs.under_way(), jobs.done()
        unit = load_repair_config(folder).unit if (folder / CONFIG_NAME).exists() else PLAIN_UNIT
        if as_json:
            typer.echo(json.dumps(summary(address, unit, under_way, done)))
        else:
            console = Console(markup=False, emoji=False)
            console.print(_table(unit, under_way, done))
            for told in EndpointNotes(folder / ENDPOINTS_NAME).reports():
                console.print(told)


def summary(address: str, unit: TokenUnit, under_way: list[Job], done: list[Job]) -> dict[str, Any]:
    """What a repairer did, for scripts."""
    return {
        "repairer": address,
        "token": asdict(unit),
        "under_way": [_job_json(job) for job in under_way],
        "done": [_job_json(job) for job in done],
        "bounty": str(sum(job.bounty for job in done)),
        "slots_refilled": sum(len(job.refilled) for job in done),
        "bytes_read": sum(job.bytes_read for job in done),
        "bytes_rebuilt": sum(job.bytes_rebuilt for job in done),
    }


def _job_json(job: Job) -> dict[str, Any]:
    # Amounts as strings: most readers of JSON keep numbers in 53 bits.
    return job.to_json() | {"bounty": str(job.bounty), "paid": str(job.paid)}


def _table(unit: TokenUnit, under_way: list[Job], done: list[Job]) -> Table:
    table = Table(title="Repairs", title_justify="left", box=None)
    for column in ("order", "what became of it", "slots", "read", "rebuilt", "bounty"):
        table.add_column(column)
    for job in [*under_way, *done]:
        slots = sorted(job.refilled or job.takers)
        table.add_row(
            job.order.hex()[:12],
            job.outcome.value,
            ", ".join(map(str, slots)),
            format_size(job.bytes_read),
            format_size(job.bytes_rebuilt),
            unit.rounded_down(job.bounty),
        )
    return table


async def _run(folder: Path, config: RepairConfig, wallet: Wallet, ready_file: Path | None) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with (
        connected(config, folder) as chain,
        Repairer.open(config.settings(folder), Sender(chain, wallet, policy=config.fees.policy)) as repairer,
    ):
        name_in_logs(lambda: repairer.names)
        if chain.pins != config.market_pins:
            save_repair_config(folder, config.model_copy(update={"market_pins": chain.pins}))
        if ready_file is not None:
            write_private(ready_file, json.dumps({"repairer": wallet.address}) + "\n")
        logging.getLogger("grange.repair").info(
            "repairer %s is at work on market %s", wallet.address, config.market_address
        )
        ticking = asyncio.create_task(forever("repairs", repairer.tick, lambda: POLL_SECONDS))
        await stop.wait()
        ticking.cancel()
        await asyncio.wait([ticking])


def connected(config: RepairConfig, folder: Path) -> AbstractAsyncContextManager[Chain]:
    """The market of a repairer. Raises ChainError."""
    return open_market(
        config.rpc_url,
        config.market_address,
        pins=config.market_pins,
        chain_id=config.chain_id,
        genesis=config.expected_genesis,
        first_block=config.start_block,
        timeouts=TIMEOUTS,
        notes=EndpointNotes(folder / ENDPOINTS_NAME),
        unit=config.unit,
    )


async def _identify(network: Network, home: Path, trust: bool) -> tuple[MarketPins, Network]:
    """What the market is known by, and the network with its chain's first block. Raises ChainReplaced where
    the home's repairs are of another chain."""
    known = load_repair_config(home) if (home / CONFIG_NAME).exists() else None
    if known is not None and known.market_address == network.market and known.genesis_hash is not None:
        network = network.model_copy(update={"genesis_hash": known.genesis_hash})
    async with open_network(network, timeouts=TIMEOUTS, trust=trust) as (chain, found):
        for sentences in describe_cautions(chain):
            typer.echo(sentences)
        assert chain.pins is not None
        return chain.pins, found


@app.command("encrypt-keys")
@changes_passphrase
def encrypt_keys(home: Home = None) -> None:
    """Lock the keys of this home with a passphrase, or with another one."""
    with explained(GUIDANCE):
        folder = repair_home(home)
        changed = relock_keys(folder, (KEY_NAME,))
        if not changed:
            raise NotInitialised(f"There is no key in {folder}.", hint="Make one with: grange repair init")
        for path in changed:
            typer.echo(f"Written again: {path}")
        typer.echo("Copies of the old files, in backups too, open as before.")


if __name__ == "__main__":
    app()
