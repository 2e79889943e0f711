"""`grange farm`: set up, run and look after a farmer.

Every error says what happened, what it means and what to do (`grange.cli`, docs/exit-codes.md).
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from grange.chain.call_sizes import CLAIM, PROOF
from grange.chain.network_file import read_unit
from grange.cli.confirm import confirm
from grange.cli.exit_codes import ExitCode
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
from grange.cli.passphrase_options import (
    changes_passphrase,
    command_passphrases,
    makes_keys,
    opens_keys,
)
from grange.cli.presenter import explained
from grange.memory import keep_freed_memory
from grange.types import address_from
from grange.units import parse_size
from grange_node.chain.farm_market import TIMEOUTS
from grange_node.cli import registration
from grange_node.cli.bonds_command import release
from grange_node.cli.common import (
    GAS_UNIT,
    GUIDANCE,
    KEPT_MEMORY_BYTES,
    Home,
    home_option,
    key_passphrase,
    name_in_logs,
    names_of_farm,
    relock_keys,
    start_logging,
)
from grange_node.cli.earnings import AmountOption, tell_paid_out
from grange_node.cli.farm_farmers_command import farmers
from grange_node.cli.hand_over_command import hand_over
from grange_node.cli.key_rotation import NEXT_KEY_NAME, former_keys, rotate_key
from grange_node.cli.operator_limits import (
    describe_operator_limits,
    read_operator_limits,
    set_operator_limits,
)
from grange_node.cli.renters_command import renters
from grange_node.cli.status import read_status
from grange_node.cli.status_screen import status_table
from grange_node.config import (
    DEFAULT_RESERVE_BYTES,
    KEY_NAME,
    OWNER_KEY_NAME,
    REPAIRS_NAME,
    Config,
    connect,
    home_folder,
    is_known_market,
    load_address,
    load_config,
    load_key,
    load_owner_wallet,
    make_key,
    save_config,
    split_endpoint,
)
from grange_node.errors import DataInUse, NotInitialised
from grange_node.pieces.store import Store
from grange_node.pieces.volume import find_volume, missing_volume
from grange_node.repair.repairer import Settings

app = typer.Typer(
    help="Run a farm: keep other people's sealed data, prove it, be paid.", no_args_is_help=True
)

OPERATORS_KEY = "the operator's key"
KEY_NAMES = (KEY_NAME, OWNER_KEY_NAME, NEXT_KEY_NAME)

OwnerKey = Annotated[
    Path | None,
    typer.Option(help="A file with the owner's private key, if it is not the operator's."),
]

app.command("hand-over")(hand_over)
app.command("release")(release)
app.add_typer(renters, name="renters")
app.add_typer(farmers, name="farmers")


@app.command()
@makes_keys
def init(
    *,
    stake: Annotated[str, typer.Option(help="Tokens to put at stake.")],
    price: Annotated[str, typer.Option(help="Tokens asked per GiB and epoch.")],
    capacity: Annotated[str, typer.Option(help="Room on offer, such as 100GB or 2TiB.")],
    endpoint: Annotated[str, typer.Option(help="How renters reach this farm: http://host:port.")],
    data: Annotated[Path, typer.Option(help="The folder for pieces and ledger.")],
    network: NetworkOption = None,
    rpc: RpcOption = None,
    market: MarketOption = None,
    first_block: FirstBlockOption = None,
    trust_market: TrustOption = False,
    owner: Annotated[str | None, typer.Option(help="Who is paid; the operator if not given.")] = None,
    egress_price: Annotated[str, typer.Option(help="Tokens asked per GiB read.")] = "0",
    longest_term: Annotated[int | None, typer.Option(min=1, help="Longest term, in epochs.")] = None,
    reserve: Annotated[str, typer.Option(help="Room on the disk that is never used.")] = str(
        DEFAULT_RESERVE_BYTES
    ),
    max_fee_gwei: MaxFeeOption = None,
    home: Home = None,
) -> None:
    """Make a key, register on chain with a stake, and write the settings. Can be repeated."""
    with explained(GUIDANCE):
        chosen = chosen_network(network, rpc, market, first_block)
        unit = asyncio.run(read_unit(chosen))
        plan = registration.FarmPlan(
            network=chosen,
            trust_market=trust_market,
            owner=address_from(owner) if owner else None,
            endpoint=endpoint,
            data_folder=data,
            stake=unit.parse(stake),
            price_per_gib_epoch=unit.parse(price),
            egress_price_per_gib=unit.parse(egress_price),
            capacity_bytes=parse_size(capacity),
            longest_term_epochs=longest_term,
            reserve_bytes=parse_size(reserve),
            max_fee_gwei=max_fee_gwei,
        )
        folder = home_folder(home)
        done = asyncio.run(
            registration.set_up(
                folder,
                plan,
                typer.echo,
                passphrases=command_passphrases(),
                choose=lambda chain_id: key_passphrase(OPERATORS_KEY, chain_id, "farm", home),
            )
        )
        word = "Registered as" if done.registered_now else "Settings are in line with the chain for"
        typer.echo(f"{word} farmer {done.config.farmer_id}.")
        typer.echo(f"  operator  {done.operator}")
        typer.echo(f"  owner     {done.config.owner}")
        typer.echo(f"  settings  {folder}")
        typer.echo(f"  data      {done.config.data_folder}")
        typer.echo(f"Start it with: grange farm run{home_option(home)}")


@app.command()
@makes_keys
def address(home: Home = None) -> None:
    """Show the operator's address; makes its key if there is none."""
    with explained(GUIDANCE):
        folder = home_folder(home)
        make_key(folder, lambda: key_passphrase(OPERATORS_KEY, None, "farm", home))
        typer.echo(load_address(folder, command_passphrases(), is_checked=True))


@app.command()
@opens_keys
def run(
    *,
    home: Home = None,
    listen: Annotated[
        str | None, typer.Option(help="host:port to listen on, if not the endpoint's; port 0 for any.")
    ] = None,
    announce: Annotated[
        bool, typer.Option("--announce", help="Put the endpoint on chain if it differs there.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild vacant slots of others for their bounties, too.")
    ] = False,
    gas_price: Annotated[str, typer.Option(help="For --repair: tokens that a million gas is worth.")] = "0",
    max_read_price: Annotated[
        str | None,
        typer.Option(help="For --repair: tokens that reading a GiB may cost; no limit if not given."),
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write a JSON line here, in one step, once the farm serves.")
    ] = None,
    ready_fd: Annotated[int | None, typer.Option(help="Write the same line to this file descriptor.")] = None,
    begin_again: Annotated[
        bool,
        typer.Option(
            "--begin-again",
            help="Once, after a disk was lost: use the data folder as it is; what is not in it is lost.",
        ),
    ] = False,
) -> None:
    """Serve renters and prove every epoch, until SIGTERM or Ctrl-C."""
    # No other command needs the server, which takes long to load.
    from grange_node.api.serve import ServeOptions, serve  # noqa: PLC0415

    with explained(GUIDANCE):
        folder = home_folder(home)
        config, wallet = load_config(folder), load_key(folder, command_passphrases())
        options = ServeOptions(
            listen=split_endpoint(f"http://{listen}") if listen else None,
            announce=announce,
            volume=find_volume(folder, config, begin_again=begin_again),
            repair=Settings(
                folder=config.data_folder / REPAIRS_NAME,
                start_block=config.start_block,
                gas_price=Fraction(config.unit.parse(gas_price), GAS_UNIT),
                fees=config.fees,
                highest_read_price=None if max_read_price is None else config.unit.parse(max_read_price),
                own_farmer=config.farmer,
            )
            if repair
            else None,
            ready_file=ready_file,
            ready_descriptor=ready_fd,
        )
        if not is_known_market(config):
            config = asyncio.run(_look_at_market(folder, config))
        names = names_of_farm(config.data_folder)
        start_logging()
        name_in_logs(lambda: names)
        logging.getLogger("grange.repair").setLevel(logging.INFO)
        keep_freed_memory(KEPT_MEMORY_BYTES)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(config, wallet, options))


async def _look_at_market(folder: Path, config: Config) -> Config:
    """The settings with what the market's code is: they were edited, or an older version wrote them. Raises
    ChainError."""
    async with connect(config) as chain:
        looked = config.model_copy(update={"market_pins": chain.pins})
    save_config(folder, looked)
    return looked


@app.command()
@opens_keys
def status(
    home: Home = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; amounts in base units.")] = False,
) -> None:
    """Show what is stored, earned and missed, also while the farm runs. Exit code 5 if no proof can be paid
    for or the next miss is too much for the stake, 17 if it has slots that it did not sign for."""
    with explained(GUIDANCE, as_json=as_json):
        folder = home_folder(home)
        config = load_config(folder)
        shown = asyncio.run(
            read_status(config, load_address(folder, command_passphrases()), missing_volume(folder, config))
        )
        if as_json:
            typer.echo(json.dumps(shown.to_json()))
        else:
            Console(markup=False, emoji=False).print(status_table(shown))
    if shown.unsigned_warning is not None:
        raise typer.Exit(ExitCode.KEY_USED)
    if shown.needs_money:
        raise typer.Exit(ExitCode.MONEY)


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
    """Show what gas costs and what is offered for it at most, or change that. A running farm must be
    restarted to follow."""
    with explained(GUIDANCE, as_json=as_json):
        folder = home_folder(home)
        config = load_config(folder)
        choice = FeeChoice(
            max_fee_gwei=max_fee_gwei,
            gas_usd=gas_usd,
            gas_usd_command=gas_usd_command,
            token_usd=token_usd,
        )
        changed = config.model_copy(update={"fees": changed_fees(config.fees, choice)})
        if changed != config:
            save_config(folder, changed)
        calls = {"a proof": PROOF, "a withdrawal": CLAIM}
        asyncio.run(show_fees(connect(changed, TIMEOUTS), changed.fees, calls, as_json=as_json))


@app.command()
@opens_keys
def withdraw(
    *,
    home: Home = None,
    amount: AmountOption = None,
    to: Annotated[str | None, typer.Option(help="Who gets them; the owner if not given.")] = None,
    owner_key: OwnerKey = None,
) -> None:
    """Pay out what the farm has earned, and what unstake has freed."""
    with explained(GUIDANCE):
        folder = home_folder(home)
        config = load_config(folder)
        wallet = load_owner_wallet(folder, config, owner_key, command_passphrases())
        receiver = address_from(to) if to else wallet.address
        wanted = config.unit.parse(amount) if amount else None
        paid, receipt = asyncio.run(registration.withdraw(config, wallet, receiver, wanted))
        tell_paid_out(config.unit, paid, receiver, receipt)


@app.command()
@opens_keys
def unstake(
    *,
    home: Home = None,
    amount: Annotated[
        str | None, typer.Option(help="Tokens; all that are free if not given, after asking.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    owner_key: OwnerKey = None,
) -> None:
    """Take back stake that answers for nothing any more: it can be withdrawn like what was earned."""
    with explained(GUIDANCE):
        folder = home_folder(home)
        config = load_config(folder)
        wallet = load_owner_wallet(folder, config, owner_key, command_passphrases())

        def agree(means: str) -> None:
            typer.echo(means)
            if not yes:
                confirm("Free all of it?")

        freed, receipt = asyncio.run(
            registration.unstake(config, wallet, config.unit.parse(amount) if amount else None, agree)
        )
        typer.echo(f"Freed {config.unit.exact(freed)} of the stake.")
        typer.echo(f"  transaction  0x{receipt.tx_hash.hex()}")
        typer.echo(f"Take them out with: grange farm withdraw{home_option(home)}")


@app.command()
@opens_keys
def update(
    *,
    home: Home = None,
    price: Annotated[str | None, typer.Option(help="Tokens asked per GiB and epoch.")] = None,
    egress_price: Annotated[str | None, typer.Option(help="Tokens asked per GiB read.")] = None,
    capacity: Annotated[str | None, typer.Option(help="Room on offer.")] = None,
    longest_term: Annotated[int | None, typer.Option(min=1, help="Longest term, in epochs.")] = None,
    redeem_at: Annotated[
        str | None, typer.Option(help="Tokens of vouchers that are worth the gas to redeem them.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="How renters reach this farm.")] = None,
    add_stake: Annotated[str | None, typer.Option(help="Tokens to add to the stake.")] = None,
    owner: Annotated[
        str | None,
        typer.Option(help="With --add-stake: who owns the farmer, if no key in this home does."),
    ] = None,
) -> None:
    """Change what is announced on chain, or add to the stake. A running farm must be restarted to follow."""
    chosen = (price, egress_price, capacity, longest_term, redeem_at, endpoint, add_stake)
    if all(one is None for one in chosen):
        raise typer.BadParameter(
            "Nothing to change: give at least one of --price, --egress-price, --capacity, --longest-term, "
            "--redeem-at, --endpoint and --add-stake."
        )
    with explained(GUIDANCE):
        folder = home_folder(home)
        config, wallet = load_config(folder), load_key(folder, command_passphrases())
        unit = config.unit
        if endpoint is not None:
            split_endpoint(endpoint)
        terms: dict[str, Any] = {
            "price_per_gib_epoch": unit.parse(price) if price else None,
            "egress_price_per_gib": unit.parse(egress_price) if egress_price else None,
            "capacity_bytes": parse_size(capacity) if capacity else None,
            "longest_term_epochs": longest_term,
        }
        changed = config.model_copy(
            update={
                "endpoint": endpoint or config.endpoint,
                "redeem_at": unit.parse(redeem_at) if redeem_at else config.redeem_at,
                "offer_terms": config.offer_terms.model_copy(
                    update={name: value for name, value in terms.items() if value is not None}
                ),
            }
        )
        stake = unit.parse(add_stake) if add_stake else 0
        named = address_from(owner) if owner else None
        asyncio.run(registration.change(folder, config, wallet, changed, add_stake=stake, owner=named))
        save_config(folder, changed)
        if stake:
            typer.echo(f"Added {unit.exact(stake)} to the stake of farmer {config.farmer_id}.")
        if changed != config:
            typer.echo("Changed the settings. A farm that is running follows when it is started again.")


@app.command("limit-operator")
@opens_keys
def limit_operator(
    *,
    home: Home = None,
    commit: Annotated[
        str | None,
        typer.Option(help='Tokens of the stake that the operator may commit to slots, or "all".'),
    ] = None,
    give_up: Annotated[
        str | None,
        typer.Option(help='Tokens of it that it may give up in an epoch by declaring slots lost, or "all".'),
    ] = None,
    owner_key: OwnerKey = None,
) -> None:
    """Limit what the operator's key can do, should it be stolen; by the owner. Without options, show it."""
    with explained(GUIDANCE):
        folder = home_folder(home)
        config = load_config(folder)
        if commit is None and give_up is None:
            limits = asyncio.run(read_operator_limits(config))
        else:
            changes = {"committed_stake": commit, "lost_stake": give_up}
            wanted = {
                name: None if text == "all" else config.unit.parse(text)
                for name, text in changes.items()
                if text is not None
            }
            owner = load_owner_wallet(folder, config, owner_key, command_passphrases())
            limits = asyncio.run(set_operator_limits(config, owner, lambda now: replace(now, **wanted)))
        typer.echo(describe_operator_limits(limits, config.unit))


@app.command("rotate-key")
@makes_keys
def rotate_key_command(
    *,
    home: Home = None,
    now: Annotated[
        bool,
        typer.Option("--now", help="For a stolen key: what it signed and is not placed is void at once."),
    ] = False,
    owner_key: OwnerKey = None,
) -> None:
    """Make a new operator key and have the owner name it on chain. Can be repeated after it was cut off."""
    with explained(GUIDANCE):
        folder = home_folder(home)
        config = load_config(folder)
        owner = load_owner_wallet(folder, config, owner_key, command_passphrases())
        done = asyncio.run(
            rotate_key(
                folder,
                config,
                owner,
                now=now,
                tell=typer.echo,
                passphrases=command_passphrases(),
                choose=lambda: key_passphrase(OPERATORS_KEY, config.chain_id, "farm", home),
            )
        )
        typer.echo(f"Farmer {config.farmer_id} is operated by {done.operator} from now on.")
        typer.echo(f"Back up the new {folder / KEY_NAME}.")
        if done.kept is not None:
            typer.echo(f"The old key is kept in {done.kept}.")
        if done.owns:
            typer.echo(
                "It still owns the farmer: stake and earnings are its own, and that cannot be changed. Move "
                "it off this machine, and give it to withdraw and unstake with --owner-key. If it was "
                "stolen, a new operator does not help: unstake and withdraw at once, and set up a new farm "
                "with --owner."
            )
        try:
            Store.check_free(config.data_folder)
        except DataInUse:
            typer.echo("The farm is running with the old key. Restart it: until then it accepts nothing new.")


@app.command("encrypt-keys")
@changes_passphrase
def encrypt_keys(home: Home = None) -> None:
    """Lock the keys of this home with a passphrase, or with another one."""
    with explained(GUIDANCE):
        folder = home_folder(home)
        changed = relock_keys(folder, (*KEY_NAMES, *former_keys(folder)))
        if not changed:
            raise NotInitialised(f"There is no key in {folder}.", hint="Make one with: grange farm address")
        for path in changed:
            typer.echo(f"Written again: {path}")
        typer.echo("Copies of the old files, in backups too, open as before.")
