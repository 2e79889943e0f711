"""A private key in a file of its own: 64 hex digits that its owner alone can read.

wallet = key_from_file(path)
create_key(path)                 a new one, unless there is one
"""

import stat
from contextlib import suppress
from pathlib import Path

from grange.chain.wallet import Wallet
from grange.errors import Category, GrangeError, Misuse, UserError
from grange.messages import address_of
from grange.storage.atomic_file import create_file
from grange.types import bytes_from_hex


class KeyInvalid(UserError, Misuse):
    """A key's file is missing, malformed, or readable by others."""

    category = Category.SETUP


def key_from_file(path: Path) -> Wallet:
    """A private key of 64 hex digits in a file of its own. Raises KeyInvalid."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(errors="replace").strip().removeprefix("0x")
    except FileNotFoundError as error:
        raise KeyInvalid(f"The key file {path} is missing.", hint="Put it back from your backup.") from error
    except OSError as error:
        raise KeyInvalid(
            f"{path} cannot be read: {error.strerror}.", hint="Let this account read it."
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyInvalid(f"{path} can be read by others.", hint=f"Run: chmod 600 {path}")
    try:
        key = bytes_from_hex(text)
        address_of(key)
    except (ValueError, GrangeError) as error:
        raise KeyInvalid(
            f"{path} does not hold a private key of 64 hex digits.", hint="Put it back from your backup."
        ) from error
    return Wallet(key)


def create_key(path: Path) -> None:
    """A new key in a file of its own, unless there is one: of several processes at once one makes it."""
    with suppress(FileExistsError):
        create_file(path, Wallet.random().private_key.hex() + "\n")
