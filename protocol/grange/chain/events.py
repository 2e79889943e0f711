"""What the market tells: one event, and what to ask for.

Decides: the shape of an event and how a filter becomes JSON-RPC topics. Leaves fetching to `gateway.py` and
following through reorgs to `follower.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_NO_ARGS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One decoded log.

    `args` are the event's parameters by snake_case name: `leafCount` is `args["leaf_count"]`, `from` is
    `args["from"]`; bytes32 are bytes, addresses checksummed strings, the rest int or str.
    """

    name: str
    args: Mapping[str, Any]
    block: int
    block_hash: bytes
    tx_hash: bytes
    log_index: int

    @property
    def position(self) -> tuple[int, int]:
        """Where it stands in the chain: sorts events in the order in which they happened."""
        return self.block, self.log_index


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Events of these names (none named: all), whose indexed parameters have these values.

    `args` maps a snake_case parameter name to a value or a list of alternatives. Each named event must have
    every such parameter indexed, and at the same place; use one filter per event otherwise.
    """

    events: tuple[str, ...] = ()
    args: Mapping[str, Any] = field(default_factory=lambda: _NO_ARGS)
