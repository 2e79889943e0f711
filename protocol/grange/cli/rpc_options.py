"""`--rpc`, which all programs have and which may be given several times.

def init(*, rpc: RpcOption = None) -> None:
    urls = one_or_several(rpc)
"""

from collections.abc import Sequence
from typing import Annotated

import typer

RpcOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rpc", help="The chain's JSON-RPC endpoint; repeatable, and then the first is asked first."
    ),
]


def one_or_several(urls: Sequence[str]) -> str | tuple[str, ...]:
    """As settings keep them: one endpoint as it is, several as a list."""
    return urls[0] if len(urls) == 1 else tuple(urls)
