"""Host names to addresses, on threads that are for nothing else.

Farmers choose their host names, and who serves a name may take as long over it as it likes: on the threads
that everything shares, a few such names would keep a node from its disk. Decides how many are looked up at
once, and for how long anybody waits.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult

from grange.peer.address_policy import AddressPolicy, AddressRefused, refusal

MAX_LOOKUPS_AT_ONCE = 32
LOOKUP_SECONDS = 5.0

_threads = ThreadPoolExecutor(MAX_LOOKUPS_AT_ONCE, thread_name_prefix="names")


async def looked_up(
    host: str, port: int | None, family: socket.AddressFamily = socket.AF_UNSPEC
) -> list[tuple[socket.AddressFamily, str, int]]:
    """Addresses of a host: family, address, port. Raises OSError, TimeoutError, UnicodeError."""
    ask = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM)
    async with asyncio.timeout(LOOKUP_SECONDS):
        found = await asyncio.get_running_loop().run_in_executor(_threads, ask)
    return [(kind, str(address[0]), int(address[1])) for kind, _, _, _, address in found]


class Resolver(AbstractResolver):
    """For aiohttp: only addresses that the policy allows."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a host. Raises OSError, TimeoutError, UnicodeError."""
        addresses = await looked_up(host, port, family)
        within = [found for found in addresses if self._policy.allows(found[1])]
        if addresses and not within:
            raise AddressRefused(refusal(host))
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=found_port,
                family=kind,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, address, found_port in within
        ]

    async def close(self) -> None:
        """Nothing is open."""
