"""Options of commands that store: with how many farmers, and for how long.

Decides that two ways to say how long are wrong usage. Leaves what holds where nothing is said to
`store_terms`, in a drive, and to the renter.
"""

from typing import Annotated

import typer

from grange.units import MAX_SLOTS
from grange_client.orders.plan import StoreOptions

FarmersNeeded = Annotated[
    int | None, typer.Option("--k", min=1, max=MAX_SLOTS, help="Farmers needed to get it back.")
]
FarmersThatKeep = Annotated[
    int | None, typer.Option("--n", min=1, max=MAX_SLOTS, help="Farmers that keep it.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="How many epochs, at least.")]
Until = Annotated[int | None, typer.Option(min=1, help="The epoch to keep it until, instead.")]
NoHandOver = Annotated[bool, typer.Option("--no-hand-over", help="Its farmers may not pass it on to others.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what it would cost, and store nothing.")]


def store_options(
    k: int | None,
    n: int | None,
    epochs: int | None,
    until: int | None,
    *,
    name: str | None = None,
    no_hand_over: bool = False,
) -> StoreOptions:
    """What was typed. Raises typer.BadParameter."""
    if epochs is not None and until is not None:
        raise typer.BadParameter("--epochs and --until say the same thing: give one of them.")
    return StoreOptions(k=k, n=n, epochs=epochs, until=until, name=name, allows_hand_over=not no_hand_over)
