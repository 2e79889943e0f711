"""What goes on with each slot at the moment: in memory only, empty when the process starts.

Decides what may happen to a slot at the same time as what else. A slot that a request is at is not removed; a
slot that is being removed takes no request. Leaves to others what they do to it meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from grange_node.errors import Conflict
from grange_node.slot_key import SlotKey


class SlotLocks:
    """Slots in use, on their way out, lately filled, and wanted by others."""

    def __init__(self, steady: Callable[[], float], idle_before: Mapping[SlotKey, float]) -> None:
        """`steady` gives seconds by a clock that nobody sets; `idle_before` how many of them nobody came to
        fill slots before this process began, where that is known."""
        self._steady = steady
        self._busy: Counter[SlotKey] = Counter()
        self._leaving: set[SlotKey] = set()
        self._touched: dict[SlotKey, float] = {}
        self._idle_before = dict(idle_before)
        self._contested: set[SlotKey] = set()
        """Acceptances that somebody else, with all pieces here, asked for in vain."""
        self._opened_at = steady()

    @contextmanager
    def using(self, key: SlotKey) -> Iterator[None]:
        """A request is at the slot. Raises Conflict while it is being removed."""
        if key in self._leaving:
            raise Conflict("this slot is being removed; try again")
        self._busy[key] += 1
        try:
            yield
        finally:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]

    @contextmanager
    def leaving(self, key: SlotKey) -> Iterator[None]:
        """The slot is being removed; once that is done nothing is remembered of it."""
        self._leaving.add(key)
        try:
            yield
            self._touched.pop(key, None)
            self._idle_before.pop(key, None)
            self._contested.discard(key)
        finally:
            self._leaving.discard(key)

    def count(self, key: SlotKey) -> int:
        """How many requests are at the slot."""
        return self._busy[key]

    def is_free(self, key: SlotKey) -> bool:
        """Whether no request is at the slot and it is not being removed."""
        return not self._busy[key] and key not in self._leaving

    def touch(self, key: SlotKey) -> None:
        """Somebody came to fill the slot."""
        self._touched[key] = self._steady()
        self._idle_before.pop(key, None)

    def settle(self, key: SlotKey) -> None:
        """The slot is accepted, and waits for no piece any more."""
        self._touched.pop(key, None)
        self._idle_before.pop(key, None)

    def idle_seconds(self, key: SlotKey) -> float:
        """For how long nobody has come to fill a staged slot, as far as a process was here to see it.

        Between two processes no time passes: a steady clock begins again with the computer, and the time of
        day may be set, which must not end an upload early.
        """
        return self._steady() - self._touched.get(key, self._opened_at) + self._idle_before.get(key, 0.0)

    def contest(self, key: SlotKey) -> None:
        """Somebody else wants what is accepted here."""
        self._contested.add(key)

    def is_contested(self, key: SlotKey) -> bool:
        """Whether somebody else wants what is accepted here."""
        return key in self._contested
