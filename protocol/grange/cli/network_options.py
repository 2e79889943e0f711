"""Where the market is, as every program that is set up is told it: by a network, or by endpoints and address.

def init(*, network: NetworkOption = None, rpc: RpcOption = None, market: MarketOption = None,
         first_block: FirstBlockOption = None, trust_market: TrustOption = False) -> None:
    chosen = chosen_network(network, rpc, market, first_block)
"""

from collections.abc import Sequence
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from grange.chain.network_file import Network, NetworkInvalid, find_network
from grange.plain_errors import describe_invalid
from grange.types import Address

WHAT_TO_GIVE: Final = (
    "--market is an address, 0x and 40 hex digits; --rpc the endpoint of its chain, such as "
    "https://example.org. Those who run the market tell you both, or give you a file for --network."
)

NetworkOption = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="NAME|FILE",
        help="The network: a name that Grange knows, or a file, such as the one that `grange devnet` writes.",
    ),
]
RpcOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rpc",
        help="The chain's JSON-RPC endpoint, in place of the network's; repeatable, and then the first is "
        "asked first.",
    ),
]
MarketOption = Annotated[
    str | None, typer.Option("--market", help="With --rpc, in place of --network: the market's address.")
]
FirstBlockOption = Annotated[
    int | None,
    typer.Option("--first-block", min=0, help="With --market: the block in which it was deployed, if known."),
]

TrustOption = Annotated[
    bool,
    typer.Option("--trust-market", help="Take a market whose code or origin Grange can't vouch for."),
]


def chosen_network(
    network: str | None, rpc: Sequence[str] | None, market: str | None, first_block: int | None
) -> Network:
    """The network that the options name. Raises BadParameter for half of one, NetworkInvalid for what is not
    one."""
    if network is not None and market is None and first_block is None:
        found = find_network(network)
        return with_endpoints(found, rpc) if rpc else found
    if network is not None or not rpc or market is None:
        raise typer.BadParameter(
            "Give --network with a name or a file, or both --rpc and --market. With --network, --rpc names "
            "endpoints of your own."
        )
    try:
        return Network(rpc=one_or_several(rpc), market=Address(market), first_block=first_block or 0)
    except ValidationError as error:
        raise _wrong(error) from None


def with_endpoints(network: Network, rpc: Sequence[str]) -> Network:
    """The same network by other endpoints. Raises NetworkInvalid."""
    try:
        return Network(**{**network.model_dump(), "rpc": one_or_several(rpc)})
    except ValidationError as error:
        raise _wrong(error) from None


def _wrong(error: ValidationError) -> NetworkInvalid:
    return NetworkInvalid(f"{describe_invalid(error, '--')}.", hint=WHAT_TO_GIVE)


def one_or_several(urls: Sequence[str]) -> str | tuple[str, ...]:
    """As settings keep them: one endpoint as it is, several as a list."""
    return urls[0] if len(urls) == 1 else tuple(urls)
