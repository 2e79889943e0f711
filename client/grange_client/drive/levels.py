"""Long lists as trees of nodes that do not change where the list does not.

A node ends behind an item whose mark says so, not after a fixed number of them: then an item more or less
changes the node that it is in and those above it, and hardly any other. A mark is a number of 64 bits that
follows from a secret and the item (the name of an entry, the key of a chunk), so who only chooses names
cannot make a list degenerate. At level 0 one mark in 128 ends a node, of 16 items at least; of those that do,
one in 128 ends a node of level 1, and so on. The same items always give the same nodes.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

MARK_BITS: Final = 7
"""One item in 2**MARK_BITS ends a node."""
MAX_LEVEL: Final = 8
MIN_NODE_ITEMS: Final = 16
"""Fewer are no node, whatever the marks say: a file may be the same chunk many times over."""
MAX_NODE_ITEMS: Final = 2048
MAX_NODE_BYTES: Final = 512 << 10
"""A node is never longer, but for one item that is."""

Item = TypeVar("Item")


class LevelBuilder(Generic[Item]):
    """Takes items in their order, and makes nodes of them as soon as they are whole."""

    def __init__(
        self,
        *,
        make_node: Callable[[int, list[Item]], Item],
        mark_of: Callable[[Item], int],
        size_of: Callable[[Item], int],
    ) -> None:
        """`make_node` writes a node of this level and gives the item that stands for it one level up, with
        the mark of the last item below it; `size_of` is how many bytes an item has in its node."""
        self._make_node = make_node
        self._mark_of = mark_of
        self._size_of = size_of
        self._levels: list[list[Item]] = [[]]
        self._sizes = [0]

    def add(self, item: Item, level: int = 0) -> None:
        """The next item."""
        if level == len(self._levels):
            self._levels.append([])
            self._sizes.append(0)
        size = self._size_of(item)
        # A node is made when something comes behind it: what is few enough stays without one.
        if self._is_full(level, size):
            self._close(level)
        self._levels[level].append(item)
        self._sizes[level] += size

    def add_node(self, level: int, node: Item) -> bool:
        """The next node of this level as it is, if it begins where one begins for certain; whether it did."""
        for below in range(level + 1):
            # Closing one may have begun the one above.
            if below < len(self._levels) and self._levels[below]:
                if not self._ends_by_itself(below):
                    return False
                self._close(below)
        while len(self._levels) < level + 2:
            self._levels.append([])
            self._sizes.append(0)
        self.add(node, level + 1)
        return True

    def finish(self, inline: Callable[[int], int]) -> tuple[int, list[Item]]:
        """The level of the items at the top, and these: at most `inline(level)` of them."""
        level = 0
        while True:
            items = self._levels[level]
            if len(items) <= inline(level) and not any(self._levels[level + 1 :]):
                return level, items
            if items:
                self._close(level)
            level += 1

    def _is_full(self, level: int, more_bytes: int) -> bool:
        items = self._levels[level]
        return bool(items) and (
            self._sizes[level] + more_bytes > MAX_NODE_BYTES or self._ends_by_itself(level)
        )

    def _ends_by_itself(self, level: int) -> bool:
        """Whether a node ends behind what is there, whatever comes next."""
        items = self._levels[level]
        return len(items) == MAX_NODE_ITEMS or (
            len(items) >= MIN_NODE_ITEMS
            and level < MAX_LEVEL
            and not self._mark_of(items[-1]) % (1 << MARK_BITS * (level + 1))
        )

    def _close(self, level: int) -> None:
        node = self._make_node(level, self._levels[level])
        self._levels[level] = []
        self._sizes[level] = 0
        self.add(node, level + 1)
