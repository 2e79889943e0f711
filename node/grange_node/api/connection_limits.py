"""How much of this node a stranger's connections may hold, and who has to go when there is no room for
another.

`Limits` names every number. `Door` knows all open connections: a new one is let in while its address and the
node have room. Else one that nobody waits for is closed for it, of the same address if that one is at its
limit, or else of the address that has most: first one that was answered and only sends what nobody wants,
then one that is idle between two requests, then the one whose request has been coming in for longest. Idle is
only one of which nothing lies unread: a request that has reached this machine is answered. If the node is
full of others, one that is served and waits for its other end, for the body or to have the answer
taken, has to go if its network has more connections than that of the new one. A connection whose request we
are at is never closed for another; if all are, the new one is turned away.

An address is one IPv4 address, or one IPv6 network of 64 bits, which is what one customer gets. Many renters
may share one behind a NAT, so its limit is far above what one renter uses. Some are given 2^16 networks of 64
bits: together, as one network of 48 bits, they have a limit too. From private and loopback addresses all may
come: behind a proxy, as https needs one, they are everyone's.
"""

from __future__ import annotations

import resource
from collections import Counter
from dataclasses import dataclass, replace
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Final, Protocol

from grange.units import KIB, MIB
from grange.wire.limits import MAX_HEAD_BYTES, MAX_HEADERS
from grange_node.limits.networks import parse_address

RESERVED_FILES: Final = 256
"""Files that the node itself has open: pieces, databases, the chain."""
CUSTOMER_BITS: Final = 64
SITE_BITS: Final = 48
_NEAR: Final = tuple(
    IPv4Network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
) + tuple(IPv6Network(text) for text in ("::1/128", "fc00::/7", "fe80::/10"))
"""Where a proxy of ours may be. What `ipaddress` calls private is more: public tunnels, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on what strangers send and hold."""

    connections: int = 2048
    connections_per_address: int = 256
    """A renter's command opens four to a farmer: so 64 of them fit behind one NAT."""
    connections_per_network: int = 512
    """Of an IPv6 network of 48 bits."""
    head_bytes: int = MAX_HEAD_BYTES
    headers: int = MAX_HEADERS
    """Each one costs far more memory than its bytes."""
    head_seconds: float = 15.0
    """From the connection, or from the first byte of a further request, to the end of the headers."""
    stall_seconds: float = 30.0
    """How long a body may take for its next `stall_bytes`, and a reader for what is on its way to it. For a
    piece of 1 MiB that is read at once, this is a line of 300 kbit/s."""
    stall_bytes: int = 32 * KIB
    unwanted_bytes: int = 2 * MIB
    """What is read and thrown away of a body that nobody wants, so that its sender gets to see the answer and
    the connection can go on being used. It is more than a piece."""
    linger_seconds: float = 2.0
    """How long a sender that was refused may take to see the answer, before the connection is closed."""

    def fitting(self, open_files: int) -> Limits:
        """The same with no more connections than the number of files that the process may open allows."""
        connections = max(1, min(self.connections, open_files - RESERVED_FILES))
        return replace(
            self,
            connections=connections,
            connections_per_address=min(self.connections_per_address, connections),
            connections_per_network=min(self.connections_per_network, connections),
        )


class Phase(IntEnum):
    """What a connection is at; those with a lower number are the first to go."""

    ANSWERED = 0
    """Its request is answered, and its body still comes in though nobody wants it."""
    IDLE = 1
    """Between two requests."""
    HEAD = 2
    """A request's headers are coming in, or nothing came in yet."""
    WAITING = 3
    """A request is being served, and waits for the rest of its body, or for its answer to be taken."""
    BUSY = 4
    """A request is being served."""


class Guest(Protocol):
    """A connection, as the door sees it."""

    @property
    def phase(self) -> Phase:
        """What it is at."""

    @property
    def since(self) -> float:
        """Since when."""

    def has_unread(self) -> bool:
        """Whether the system holds something of it that was not read yet."""

    def give_way(self) -> None:
        """Close at once."""


class Door:
    """Counts connections, and makes room for new ones."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._guests: dict[str, dict[str, set[Guest]]] = {}
        """By network, and in it by address."""
        self._sizes: Counter[str] = Counter()
        """By network."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def admit(self, address: str, guest: Guest) -> bool:
        """Let a connection in, closing another for it if need be. False when all that could go are being
        served."""
        network, group, is_near = _place_of(address)
        if not is_near and not self._make_room_beside(network, group):
            return False
        if self._count >= self.limits.connections and not self._make_room(network):
            return False
        self._guests.setdefault(network, {}).setdefault(group, set()).add(guest)
        self._sizes[network] += 1
        self._count += 1
        return True

    def leave(self, address: str, guest: Guest) -> None:
        """Forget a connection; nothing happens if it is not known."""
        network, group, _ = _place_of(address)
        if guest in self._guests.get(network, {}).get(group, ()):
            self._forget(network, group, guest)

    def _make_room_beside(self, network: str, group: str) -> bool:
        """For one more from this address and from this network."""
        beside = self._guests.get(network, {})
        if len(beside.get(group, ())) >= self.limits.connections_per_address:
            return self._close_one(network, group, Phase.HEAD)
        if self._sizes[network] < self.limits.connections_per_network:
            return True
        return self._close_in(network, Phase.HEAD)

    def _make_room(self, network: str) -> bool:
        """In a node that is full, for one more from this network."""
        largest = [one for one, _ in self._sizes.most_common()]
        if any(self._close_in(one, Phase.HEAD) for one in largest):
            return True
        larger = [one for one in largest if self._sizes[one] > self._sizes[network] + 1]
        return any(self._close_in(one, Phase.WAITING) for one in larger)

    def _close_in(self, network: str, last: Phase) -> bool:
        groups = self._guests[network]
        largest = sorted(groups, key=lambda one: len(groups[one]), reverse=True)
        return any(self._close_one(network, group, last) for group in largest)

    def _close_one(self, network: str, group: str, last: Phase) -> bool:
        """One that is in no later phase than `last`."""
        first_to_go = sorted(
            (guest for guest in self._guests[network][group] if guest.phase <= last),
            key=lambda guest: (guest.phase, guest.since),
        )
        # Of one in its head that would be no reason: a flood of single bytes could hold the door with it.
        chosen = next(
            (guest for guest in first_to_go if guest.phase != Phase.IDLE or not guest.has_unread()), None
        )
        if chosen is None:
            return False
        # Forgotten here already: the transport tells of the end only in a later turn of the loop.
        self._forget(network, group, chosen)
        chosen.give_way()
        return True

    def _forget(self, network: str, group: str, guest: Guest) -> None:
        groups = self._guests[network]
        groups[group].remove(guest)
        self._sizes[network] -= 1
        self._count -= 1
        if not groups[group]:
            del groups[group]
        if not groups:
            del self._guests[network], self._sizes[network]


def raise_file_limit() -> int:
    """Let this process open as many files as the system allows it, within reason, and give that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = Limits().connections + 2 * RESERVED_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def _place_of(address: str) -> tuple[str, str, bool]:
    """The network and the address that a connection counts for, and whether it may be from a proxy of
    ours."""
    parsed = parse_address(address)
    if parsed is None:
        return address, address, True
    is_near = any(parsed in network for network in _NEAR)
    if not isinstance(parsed, IPv6Address):
        return str(parsed), str(parsed), is_near
    return _network(parsed, SITE_BITS), _network(parsed, CUSTOMER_BITS), is_near


def _network(address: IPv6Address, bits: int) -> str:
    return str(IPv6Network((address, bits), strict=False))
