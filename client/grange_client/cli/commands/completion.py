"""What a shell completes where a place in a drive is typed: the drives that this home has seen.

Reads one small file of the home, and asks neither the chain nor a person.
"""

import typer

from grange_client.drives import names_here
from grange_client.keys.config import home_path


def complete_place(context: typer.Context, incomplete: str) -> list[str]:
    """Drives, as `main:`, whose names begin so."""
    names = names_here(home_path(context.params.get("home")))
    return [f"{name}:" for name in names if f"{name}:".startswith(incomplete)]
