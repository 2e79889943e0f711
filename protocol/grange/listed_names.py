"""How a person calls farmers and renters, wherever a program speaks of one.

    names = ListedNames(lists, operator_of=directory.operator_of)
    names.farmer(FarmerId(7))                     "7 (Eve)"
    names.within("Farmer 7 broke off.")           "Farmer 7 (Eve) broke off."
    names.within("0x52…EE7 owes 3")               "0x52…EE7 (Bob's cellar) owes 3"

Texts of errors, logs and events are made where nobody knows of names; each program puts the names in where it
shows them, so that no text goes without. Pure.
"""

import re
from collections.abc import Callable
from typing import Final

from grange.allow_lists import NO_LISTS, AllowLists
from grange.types import Address, FarmerId, address_from

_SPOKEN_OF: Final = re.compile(
    r"\b(?P<word>[Ff]armer )(?P<farmer>[1-9][0-9]{0,8})\b(?! \()"
    r"|\b(?P<address>0x[0-9a-fA-F]{40})\b(?! \()"
)
"""A farmer by its id, or an account; what has its name behind it already is left as it is."""


def _unknown(_: FarmerId) -> Address | None:
    return None


class ListedNames:
    """The names on a person's lists."""

    def __init__(
        self,
        lists: AllowLists = NO_LISTS,
        *,
        operator_of: Callable[[FarmerId], Address | None] = _unknown,
    ) -> None:
        """`operator_of` gives it where it is known so far: a farmer may be listed by its operator's
        address."""
        self._lists = lists
        self._operator_of = operator_of
        self._is_empty = not any(one.name for one in (*lists.allowed, *lists.denied))

    def of(self, farmer: FarmerId) -> str:
        """The name alone; empty if there is none."""
        if self._is_empty:
            return ""
        operator = self._operator_of(farmer)
        return self._lists.name_of(farmer) or ("" if operator is None else self._lists.name_of(operator))

    def farmer(self, farmer: FarmerId) -> str:
        """Its number, with the name behind it if there is one."""
        return _with_name(str(farmer), self.of(farmer))

    def account(self, account: Address) -> str:
        """An address, the same way."""
        return _with_name(account, "" if self._is_empty else self._lists.name_of(account))

    def within(self, text: str) -> str:
        """A text that speaks of farmers and accounts, with their names."""
        return text if self._is_empty else _SPOKEN_OF.sub(self._named, text)

    def _named(self, found: re.Match[str]) -> str:
        if found["farmer"] is not None:
            return found["word"] + self.farmer(FarmerId(int(found["farmer"])))
        return _with_name(found["address"], self._lists.name_of(address_from(found["address"].lower())))


NO_NAMES: Final = ListedNames()
"""Everybody is a number."""


def _with_name(who: str, name: str) -> str:
    return f"{who} ({name})" if name else who
