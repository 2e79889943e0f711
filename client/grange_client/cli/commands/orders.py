"""`orders`: what acts on single orders. People with drives seldom need it: `keep` looks after theirs.

Leaves the commands to `order_transfer`, `overview` and `terms`.
"""

import typer

from grange_client.cli.commands import order_transfer, overview, terms

orders = typer.Typer(
    help="Single orders: how drives are kept, and files stored without one.", no_args_is_help=True
)

for command in (
    order_transfer.put,
    order_transfer.get,
    overview.ls,
    overview.stat,
    overview.health,
    terms.extend,
    terms.close,
):
    orders.command()(command)
