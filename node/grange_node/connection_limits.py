"""How much of this node a stranger's connections may hold, and who has to go when there is no room for
another.

`Limits` names every number. `Door` knows all open connections: a new one is let in while its address and the
node have room. Else one that nobody waits for is closed for it, of the same address if that one is at its
limit, or else of the address that has most: first one that was answered and only sends what nobody wants,
then one that is idle between two requests, then the one whose request has been coming in for longest. A
connection whose request is being served is never closed for another; if all are, the new one is turned away.

An address is one IPv4 address, or one IPv6 network of 64 bits, which is what one customer gets. Many renters
may share one behind a NAT, so its limit is far above what one renter uses. From private and loopback
addresses all may come: behind a proxy, as https needs one, they are everyone's.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass, replace
from enum import IntEnum
from ipaddress import IPv6Address, ip_address
from typing import Final, Protocol

from grange.units import KIB, MIB

RESERVED_FILES: Final = 256
"""Files that the node itself has open: pieces, databases, the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on what strangers send and hold."""

    connections: int = 2048
    connections_per_address: int = 256
    """A renter's command opens four to a farmer: so 64 of them fit behind one NAT."""
    head_bytes: int = 32 * KIB
    """A request line and its headers. Ours take less than one KiB."""
    headers: int = 100
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
        )


class Phase(IntEnum):
    """What a connection is at; those with a lower number are the first to go."""

    ANSWERED = 0
    """Its request is answered, and its body still comes in though nobody wants it."""
    IDLE = 1
    """Between two requests."""
    HEAD = 2
    """A request's headers are coming in, or nothing came in yet."""
    BUSY = 3
    """A request is being served."""


class Guest(Protocol):
    """A connection, as the door sees it."""

    @property
    def phase(self) -> Phase:
        """What it is at."""

    @property
    def since(self) -> float:
        """Since when."""

    def give_way(self) -> None:
        """Close at once."""


class Door:
    """Counts connections, and makes room for new ones."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._guests: dict[str, set[Guest]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def admit(self, address: str, guest: Guest) -> bool:
        """Let a connection in, closing another for it if need be. False when all that could go are being
        served."""
        group = _group_of(address)
        own = self._guests.get(group, set())
        if len(own) >= self._most_of(group):
            if not self._close_one(group):
                return False
        elif self._count >= self.limits.connections:
            largest = sorted(self._guests, key=lambda one: len(self._guests[one]), reverse=True)
            if not any(self._close_one(one) for one in largest):
                return False
        self._guests.setdefault(group, set()).add(guest)
        self._count += 1
        return True

    def _most_of(self, group: str) -> int:
        try:
            is_near = ip_address(group).is_private
        except ValueError:
            is_near = True
        return self.limits.connections if is_near else self.limits.connections_per_address

    def leave(self, address: str, guest: Guest) -> None:
        """Forget a connection; nothing happens if it is not known."""
        group = _group_of(address)
        own = self._guests.get(group)
        if own is None or guest not in own:
            return
        own.remove(guest)
        self._count -= 1
        if not own:
            del self._guests[group]

    def _close_one(self, group: str) -> bool:
        idle = [guest for guest in self._guests[group] if guest.phase is not Phase.BUSY]
        if not idle:
            return False
        chosen = min(idle, key=lambda guest: (guest.phase, guest.since))
        # Forgotten here already: the transport tells of the end only in a later turn of the loop.
        self._guests[group].remove(chosen)
        self._count -= 1
        chosen.give_way()
        return True


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


def _group_of(address: str) -> str:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address
