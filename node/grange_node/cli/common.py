"""What the commands of `grange farm` and `grange repair` share: words, and logging.

GUIDANCE    what to correct, for errors of the chain
Home        --home of a farm, and how to say it in another command
names_of_farm    what its owner calls farmers and renters
key_passphrase   what a new key is locked with; relock_keys: a home's keys get another passphrase
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from grange.allow_lists import FARMERS, RENTERS, AllowLists, ListFiles
from grange.chain.confirmations import DEVNET_CHAIN_IDS
from grange.chain.key_file import open_key, relock_key
from grange.cli.passphrase_options import command_passphrases, new_passphrase, passphrase_for_new
from grange.cli.presenter import Guidance
from grange.listed_names import ListedNames
from grange_node.config import REPAIRS_NAME

GUIDANCE = Guidance(
    fees="grange farm fees --max-fee-gwei (of a repairer: grange repair fees)",
    new_chain="Move this home and its data folder away, or choose other folders (--home, --data), and set up "
    "again with init.",
    first_block="Repeat init with the file of the network, or with --first-block and the block that the "
    "market was deployed in.",
    trust="`init --trust-market` takes it all the same.",
)
LOG_TIME = "%Y-%m-%d %H:%M:%S"
GAS_UNIT = 10**6
"""Gas is priced by the million, so that the price is a number one can read."""
KEPT_MEMORY_BYTES = 128 << 20
"""Freed memory that stays ours: pieces on their way."""


def key_passphrase(what: str, chain_id: int | None, program: str, home: Path | None) -> str | None:
    """What a new key is locked with, as the command was told or a person says; see `passphrase_for_new`."""
    return passphrase_for_new(
        what,
        is_devnet=chain_id in DEVNET_CHAIN_IDS,
        lock=f"grange {program} encrypt-keys{home_option(home)}",
    )


def relock_keys(home: Path, names: Sequence[str]) -> list[Path]:
    """Give keys of a home another passphrase, or none, as the command was told or a person says; returns
    those that there are. Raises KeyInvalid, and what `grange.keystore` raises for a passphrase."""
    passphrases = command_passphrases()
    paths = [path for path in (home / name for name in names) if path.exists()]
    # All are opened before any is written: half of them would be under a passphrase that nobody expects.
    opened = [open_key(path, passphrases) for path in paths]
    if opened:
        chosen = new_passphrase("the keys", is_locked=any(one.passphrase is not None for one in opened))
        for one in opened:
            relock_key(one, chosen.passphrase, in_keyring=chosen.in_keyring)
    return paths


Home = Annotated[
    Path | None,
    typer.Option("--home", help="Where key and settings are.", envvar="GRANGE_HOME", show_envvar=True),
]
"""Of a farm."""


def home_option(home: Path | None) -> str:
    """What another command needs to be about the same farm."""
    return f" --home {home}" if home else ""


class _NamesInLogs(logging.Filter):
    """Puts the names that a person has for farmers and renters into each line."""

    def __init__(self, names: Callable[[], ListedNames]) -> None:
        super().__init__()
        self._names = names

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every line through."""
        record.msg, record.args = self._names().within(record.getMessage()), ()
        return True


def name_in_logs(names: Callable[[], ListedNames]) -> None:
    """From now on lines say what farmers and renters are called."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_NamesInLogs(names))


def start_logging() -> None:
    """One line per event on standard error; the server's own chatter only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", LOG_TIME))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("grange.farm").setLevel(logging.INFO)


def names_of_farm(data_folder: Path) -> ListedNames:
    """What the farm's owner calls farmers and renters, by its lists of both. Raises ListInvalid."""
    lists = [
        ListFiles(folder=data_folder, of=RENTERS).read(),
        ListFiles(folder=data_folder / REPAIRS_NAME, of=FARMERS).read(),
    ]
    return ListedNames(
        AllowLists(
            allowed=tuple(one for each in lists for one in each.allowed),
            denied=tuple(one for each in lists for one in each.denied),
        )
    )
