"""A recovery card that is given to a command: in a file, or on standard input, typed, pasted or scanned."""

import stat
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from grange_client.cli.commands import common
from grange_client.errors import BadCard
from grange_client.keys.recovery_card import RecoveryCard

STANDARD_INPUT: Final = "-"
MAX_LINES: Final = 1000
"""Of a file with a card in it."""
MAX_LINE_CHARACTERS: Final = 4096
_LAST_LINE: Final = "check"


def read_card(source: str) -> RecoveryCard:
    """The card in a file, or on standard input for "-". Raises BadCard, BadPhrase."""
    try:
        if source == STANDARD_INPUT:
            if sys.stdin.isatty():
                common.err.print("Type or paste the recovery card, down to its line 'check':")
            return RecoveryCard.parse(_up_to_last_line(sys.stdin))
        with Path(source).open(encoding="utf-8") as file:
            if stat.S_IMODE(Path(source).stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
                common.err.print(
                    f"Others on this computer can read {source}: keep the card where only you can.",
                    style="yellow",
                    soft_wrap=True,
                )
            return RecoveryCard.parse(_up_to_last_line(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadCard(f"{source} cannot be read: {reason}.", hint="Give a recovery card's file.") from None


def _up_to_last_line(lines: Iterable[str]) -> str:
    """Not to the end: someone who types it need not say where that is."""
    read = []
    for line in islice(lines, MAX_LINES):
        read.append(line[:MAX_LINE_CHARACTERS])
        if line.strip().lower().startswith(_LAST_LINE):
            break
    return "".join(read)
