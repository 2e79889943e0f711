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

    def add_run(self, item: Item, count: int, level: int = 0) -> None:
        """The same item so many times, as quickly as a few: the nodes that they fill are one and the same."""
        size = self._size_of(item)
        while count and (
            level == len(self._levels) or (self._levels[level] and not self._is_full(level, size))
        ):
            self.add(item, level)
            count -= 1
        in_node = self._most_of(item, level)
        # What follows ends a node, so the last one is left.
        whole = max(0, count - 1) // in_node
        if whole:
            if self._levels[level]:
                self._close(level)
            self.add_run(self._make_node(level, [item] * in_node), whole, level + 1)
        for _ in range(count - whole * in_node):
            self.add(item, level)

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
            len(items) >= MIN_NODE_ITEMS and self._is_border(items[-1], level)
        )

    def _most_of(self, item: Item, level: int) -> int:
        """How many items like this one a node has."""
        most = max(1, min(MAX_NODE_ITEMS, MAX_NODE_BYTES // self._size_of(item)))
        return min(most, MIN_NODE_ITEMS) if self._is_border(item, level) else most

    def _is_border(self, item: Item, level: int) -> bool:
        return level < MAX_LEVEL and not self._mark_of(item) % (1 << MARK_BITS * (level + 1))

    def _close(self, level: int) -> None:
        node = self._make_node(level, self._levels[level])
        self._levels[level] = []
        self._sizes[level] = 0
        self.add(node, level + 1)
