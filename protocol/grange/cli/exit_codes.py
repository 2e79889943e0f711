"""What a command exits with. Each code means one thing, whichever command it comes from.

    exit_code(Category.MONEY)   5
    ExitCode.LEFT_OUT           10

docs/exit-codes.md says what each means for a person; a test holds it against this table.
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from grange.errors import Category


class ExitCode(IntEnum):
    """Every code with which a command of ours ends."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    SETUP = 3
    FILES = 4
    MONEY = 5
    FARMERS = 6
    DATA = 7
    CHAIN = 8
    IN_USE = 9
    LEFT_OUT = 10
    WRONG_CHAIN = 11
    REFUSED = 12
    ORDER = 13
    LAPSED = 14
    DECLINED = 15
    DIFFERS = 16
    KEY_USED = 17
    ENDS_SOON = 18
    INTERRUPTED = 130
    """128 and the number of SIGINT, as shells have it."""


EXIT_CODES: Final[Mapping[Category, ExitCode]] = MappingProxyType(
    {
        Category.UNEXPECTED: ExitCode.UNEXPECTED,
        Category.USAGE: ExitCode.USAGE,
        Category.SETUP: ExitCode.SETUP,
        Category.FILES: ExitCode.FILES,
        Category.MONEY: ExitCode.MONEY,
        Category.FARMERS: ExitCode.FARMERS,
        Category.DATA: ExitCode.DATA,
        Category.CHAIN: ExitCode.CHAIN,
        Category.IN_USE: ExitCode.IN_USE,
        Category.WRONG_CHAIN: ExitCode.WRONG_CHAIN,
        Category.REFUSED: ExitCode.REFUSED,
        Category.ORDER: ExitCode.ORDER,
        Category.LAPSED: ExitCode.LAPSED,
    }
)


def exit_code(category: Category) -> ExitCode:
    """What a command exits with after an error of that category."""
    return EXIT_CODES[category]
