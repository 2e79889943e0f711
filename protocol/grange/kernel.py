"""Hashing and erasure coding of whole pieces: compiled where the kernel is installed, plain elsewhere.

    from grange.kernel import Codec, merkle_root

Decides, once a process, which of the two it is; nobody else asks. The kernel is the package `grange_kernel`
(folder kernel/, written in Rust, built by `scripts/kernel`). It is used if it can be imported and is of the
interface that this version knows. GRANGE_KERNEL=off says no. Results and errors are the same either way:
docs/adr/0120-a-kernel-in-rust.md has the speeds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Final

VARIABLE: Final = "GRANGE_KERNEL"
INTERFACE: Final = 2
"""Of the kernel, as it says itself: what its functions take and give."""
_OFF: Final = ("off", "no", "false", "0")


def reason_against(
    environment: Mapping[str, str], import_kernel: Callable[[str], ModuleType] = import_module
) -> str | None:
    """Why the kernel is not used; None if it is."""
    if environment.get(VARIABLE, "").lower() in _OFF:
        return f"{VARIABLE} is {environment[VARIABLE]}"
    try:
        kernel = import_kernel("grange_kernel")
    except ModuleNotFoundError:
        return "the kernel is not installed"
    except ImportError as error:
        return f"the kernel does not load: {error}"
    if getattr(kernel, "INTERFACE", None) != INTERFACE:
        return "the kernel that is installed belongs to another version of Grange"
    return None


REASON_AGAINST: Final = reason_against(os.environ)

if TYPE_CHECKING:
    from grange.merkle import Buffer

if TYPE_CHECKING or REASON_AGAINST:
    from grange.merkle import (
        PieceHasher,
        Tree,
        leaf_hashes,
        merkle_root,
        merkle_roots,
        path,
        root_of_hashes,
    )
else:
    from grange.merkle_compiled import (
        PieceHasher,
        Tree,
        leaf_hashes,
        merkle_root,
        merkle_roots,
        path,
        root_of_hashes,
    )

if TYPE_CHECKING or REASON_AGAINST or not import_module("grange_kernel").CODES_FAST:
    from grange.erasure import Codec
else:
    from grange.erasure_compiled import Codec

if TYPE_CHECKING or REASON_AGAINST:
    find_border: Callable[[Buffer, bytes, int, int, int], int | None] | None = None
    """Where a chunk of a file may end; None where there is no kernel, or one that was built before drives."""
else:
    find_border = getattr(import_module("grange_kernel"), "find_border", None)

__all__ = [
    "Codec",
    "PieceHasher",
    "Tree",
    "leaf_hashes",
    "merkle_root",
    "merkle_roots",
    "path",
    "root_of_hashes",
]


def describe() -> str:
    """Which of the two it is, in a few words for a person."""
    if REASON_AGAINST:
        return f"plain Python ({REASON_AGAINST})"
    kernel = import_module("grange_kernel")
    return f"kernel {kernel.__version__} ({kernel.INSTRUCTIONS})"
