"""Options of commands that send or fetch much: how fast and how dear at most, and what gives way.

Decides how a rate is written, and that a wrong one is wrong usage.
"""

from pathlib import Path
from typing import Annotated

import typer

from grange.errors import Misuse
from grange.peer.rate_limit import parse_rate

LimitUpload = Annotated[
    str | None,
    typer.Option(
        "--limit-upload", metavar="RATE", help="Send no more than so much a second, like 500K or 2M."
    ),
]
LimitDownload = Annotated[
    str | None,
    typer.Option(
        "--limit-download", metavar="RATE", help="Fetch no more than this a second, like 500K or 2M."
    ),
]
MaxDownloadPrice = Annotated[
    str | None,
    typer.Option("--max-price", metavar="TOKENS", help="What reading may cost at most; asks no more."),
]
Destination = Annotated[Path, typer.Argument(metavar="DEST", help="Where to put it.", readable=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that differ.")]


def rate_of(text: str | None) -> int | None:
    """Bytes a second, as they were typed. Raises typer.BadParameter."""
    try:
        return None if text is None else parse_rate(text)
    except Misuse as error:
        raise typer.BadParameter(f"{error}.") from error
