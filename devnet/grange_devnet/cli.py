"""`grange devnet`: a private chain with a market on it, until Ctrl-C; `grange devnet fund`: money on it.

Decides what is printed. Leaves everything else to `devnet.py`, and errors to `grange.cli`.
"""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from grange.chain import Chain, Sender, Wallet
from grange.chain.endpoint import as_urls, public_part
from grange.chain.network_file import (
    Network,
    NetworkInvalid,
    find_network,
    open_network,
    read_network,
    write_network,
)
from grange.chain.transfers import give
from grange.cli.network_options import NetworkOption
from grange.cli.presenter import Guidance, explained
from grange.types import Address, address_from
from grange.units import format_count
from grange_devnet.devnet import Devnet
from grange_devnet.ending import until_interrupted
from grange_devnet.engines import DEV_ADDRESS, DEV_KEY, EngineName, EngineOptions
from grange_devnet.errors import FileTaken
from grange_devnet.fleet import (
    DEFAULT_PRICE_TOKENS_PER_GIB,
    DEFAULT_STAKE_TOKENS,
    FarmerProcess,
    Fleet,
)
from grange_devnet.tokens import TokenName

DEFAULT_PORT = 8545
DEFAULT_OUTPUT = Path("devnet.json")
RENTER_TOKENS = 1000
CONNECT_SECONDS = 1.0
_GUIDANCE = Guidance(when_down="Is the devnet running? `grange devnet` starts one.")
WEI = 10**18

app = typer.Typer(help="Run a private chain with a market on it.", no_args_is_help=False)
_out = Console(markup=False, emoji=False)


@app.callback(invoke_without_command=True)
def run(  # noqa: PLR0917  typer makes options of parameters
    context: typer.Context,
    engine: Annotated[EngineName, typer.Option(help="What runs the chain.")] = "py-evm",
    block_seconds: Annotated[float, typer.Option(min=0.05, help="Seconds between blocks.")] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = (
        DEFAULT_PORT
    ),
    chain_id: Annotated[int, typer.Option(min=1, help="The chain's id.")] = 1337,
    output: Annotated[
        Path, typer.Option(help="The network's file to write, for other commands.")
    ] = DEFAULT_OUTPUT,
    token: Annotated[TokenName, typer.Option(help="What the market's money is like.")] = "plain",  # noqa: S107
    farmers: Annotated[int, typer.Option(min=0, max=100, help="How many farmers to run beside it.")] = 0,
    farms: Annotated[
        Path | None, typer.Option(help="A new folder for their data; if not given it goes when we end.")
    ] = None,
) -> None:
    """Start a chain, deploy token and market, print where they are, and run until Ctrl-C."""
    if context.invoked_subcommand is None:
        if farms is not None and farms.exists():
            raise typer.BadParameter(f"{farms} exists already, and farmers start with a new folder.")
        options = EngineOptions(engine=engine, block_seconds=block_seconds, port=port, chain_id=chain_id)
        _guarded(_run(options, output, farmers, farms, token))


@app.command()
def fund(
    address: Annotated[str, typer.Argument(help="Who gets it.")],
    tokens: Annotated[str, typer.Option(help="How many tokens.")] = "1000",
    native: Annotated[
        float, typer.Option(min=0, help="How many gas tokens, which pay the chain's fees.")
    ] = 10.0,
    network: NetworkOption = None,
) -> None:
    """Give gas tokens and tokens of a running devnet to an address."""
    _guarded(_fund(address, tokens, native, network or str(DEFAULT_OUTPUT)))


async def _run(
    options: EngineOptions, output: Path, farmers: int, farms: Path | None, token: TokenName
) -> None:
    block_seconds = options.block_seconds or 0.0
    _out.print(f"starting {options.engine} ...")
    starting = Devnet.start(
        engine=options.engine,
        block_seconds=block_seconds,
        port=options.port,
        chain_id=options.chain_id,
        token=token,
    )
    async with until_interrupted(), starting as devnet:
        with _written(devnet.network, output):
            _show(devnet, block_seconds, output)
            async with _some_farmers(devnet, farmers, farms):
                _out.print("\nCtrl-C ends it, and the chain with it.")
                await asyncio.Event().wait()
    _out.print("stopped")


@contextlib.asynccontextmanager
async def _some_farmers(devnet: Devnet, count: int, farms: Path | None) -> AsyncIterator[None]:
    """Farmers, if any are wanted, with their data in a folder of their own."""
    if not count:
        yield
        return
    _out.print(f"\nstarting {format_count(count, 'farmer')} ...")
    with tempfile.TemporaryDirectory(prefix="grange-farms-") as temporary:
        async with Fleet.start(devnet, count, farms or Path(temporary), on_ready=_show_farmer):
            yield


def _show_farmer(farmer: FarmerProcess) -> None:
    _out.print(f"  farmer {farmer.farmer} at {farmer.endpoint}", highlight=False)


@contextlib.contextmanager
def _written(network: Network, output: Path) -> Iterator[None]:
    """The file is there as long as the chain is: nobody follows it to a dead one. Raises FileTaken."""
    _refuse_the_file_of_another(network, output)
    write_network(output, network)
    try:
        yield
    finally:
        output.unlink(missing_ok=True)


def _refuse_the_file_of_another(network: Network, output: Path) -> None:
    """Raise FileTaken if the file says where another devnet is, and something listens there."""
    try:
        other = read_network(output)
    except NetworkInvalid:
        return
    if other.rpc == network.rpc:
        return
    url = as_urls(other.rpc)[0]
    place = urlsplit(url)
    with contextlib.suppress(OSError, ValueError):
        socket.create_connection((place.hostname or "", place.port or 80), CONNECT_SECONDS).close()
        raise FileTaken(output, public_part(url))


def _show(devnet: Devnet, block_seconds: float, output: Path) -> None:
    parameters = devnet.chain.parameters
    epoch_seconds = parameters.epoch_blocks * block_seconds
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("endpoint", devnet.rpc_url),
        ("chain id", str(devnet.chain_id)),
        ("market", devnet.market),
        ("token", devnet.token),
        ("faucet", DEV_ADDRESS),
        ("clock", f"a block every {block_seconds:g} s, an epoch every {epoch_seconds:g} s"),
        ("orders end", f"on epochs that are multiples of {parameters.grid_epochs}"),
        ("written to", str(output)),
    ):
        facts.add_row(Text(name, style="dim"), value)
    _out.print(Panel(facts, title=f"Grange devnet on {devnet.engine}", expand=False, border_style="green"))
    for heading, commands in _next_commands(output).items():
        _out.print(f"\n{heading}, in another terminal:")
        for command in commands:
            _out.print(f"  {command}", soft_wrap=True, highlight=False)


def _next_commands(output: Path) -> dict[str, list[str]]:
    """What to do next, to be pasted as it is; the README says the same."""
    where = "" if output == DEFAULT_OUTPUT else f" --network {output}"
    fund, my_farm = "grange devnet fund", "$(grange farm address --home my-farm --no-encryption)"
    offer = (
        f"--stake {DEFAULT_STAKE_TOKENS} --price {DEFAULT_PRICE_TOKENS_PER_GIB} --capacity 10GB"
        " --endpoint http://127.0.0.1:4500"
    )
    return {
        "To run a farm": [
            f"{fund} {my_farm} --tokens {DEFAULT_STAKE_TOKENS}{where}",
            f"grange farm init --home my-farm --network {output} --data my-farm/data {offer}",
            "grange farm run --home my-farm",
        ],
        "To store files": [
            f"grange init --network {output}",
            f"{fund} $(grange balance --address) --tokens {RENTER_TOKENS}{where}",
            f"grange put {output}  # or files and folders of yours",
        ],
    }


async def _fund(address_text: str, tokens_text: str, native: float, network: str) -> None:
    address = address_from(address_text)
    async with open_network(find_network(network), trust=True) as (chain, _):
        faucet, tokens = Sender(chain, Wallet(DEV_KEY)), chain.unit.parse(tokens_text)
        await give(faucet, address, native_wei=int(native * WEI), tokens=tokens)
        await _show_balance(chain, address)


async def _show_balance(chain: Chain, address: Address) -> None:
    tokens, gas_tokens = await chain.token_balance(address), await chain.native_balance(address)
    _out.print(
        f"{address} now has {chain.unit.exact(tokens)} and {gas_tokens / WEI:g} gas tokens",
        soft_wrap=True,
    )


def _guarded(work: Coroutine[Any, Any, None]) -> None:
    """Run it; what can be expected to fail ends in words and an exit code."""
    with explained(_GUIDANCE):
        asyncio.run(work)
