"""What an account has deployed already, found again without anything having been written down.

    known = await read_deployed(sender)
    at = known.part("MarketAccounts", parameters, behind=None)      where it is, or None

Without a factory a part's address follows from the account and the nonce of its transaction. So the addresses
of its newest transactions are looked at: one question gives the hashes of the code at all of them, and which
code a part has to have is known (`deployment.runtime_code`). What was sent and is not mined yet is waited for
first. This is for the account that deploys: whether a market is Grange's is for `market_check` to say.
"""

from dataclasses import dataclass
from typing import Final

from grange.chain.answers import count
from grange.chain.deployment import PARTS, Place, address_by_nonce, runtime_code
from grange.chain.market_pins import code_hashes_from, code_hashes_program
from grange.chain.sender import Sender
from grange.keccak import keccak256
from grange.types import Address, Parameters

LOOKED_THROUGH: Final = 64
"""So many of an account's newest transactions are looked through."""
WAITED_BLOCKS: Final = 5
"""For so many blocks what it has sent is waited for."""
NO_CODE: Final = (bytes(32), keccak256(b""))
"""What is told of an account that is not there, and of one without code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedBefore:
    """What is at the addresses of an account's newest transactions, the oldest first."""

    chain_id: int
    code_hashes: dict[Address, bytes]

    def part(self, part: str, parameters: Parameters, *, behind: Address | None) -> Address | None:
        """Where a part of a market with these parameters is, that hands on to the one at `behind`."""
        for address, code_hash in self.code_hashes.items():
            place = Place(chain_id=self.chain_id, address=address, behind=behind)
            if keccak256(runtime_code(part, parameters, place)) == code_hash:
                return address
        return None

    def all_parts(self, parameters: Parameters) -> list[Address]:
        """Where the parts of a market with these parameters are, as far as they are there."""
        found: list[Address] = []
        for part in PARTS:
            known = self.part(part, parameters, behind=found[-1] if found else None)
            if known is None:
                break
            found.append(known)
        return found

    def contracts(self) -> list[Address]:
        """Where there is any code, the newest first."""
        return [one for one, code_hash in self.code_hashes.items() if code_hash not in NO_CODE][::-1]


async def read_deployed(sender: Sender) -> DeployedBefore:
    """Look at what the sender's account has deployed. Raises ChainError."""
    rpc, chain_id = sender.chain.rpc, sender.chain.chain_id

    async def sent(tag: str) -> int:
        return count(await rpc.call("eth_getTransactionCount", sender.address, tag), "a nonce")

    for _ in range(WAITED_BLOCKS):
        if await sent("latest") >= await sent("pending"):
            break
        await sender.comes_block_after((await sender.chain.head()).number)
    nonce = await sent("latest")
    first = max(0, nonce - LOOKED_THROUGH)
    addresses = [address_by_nonce(sender.address, one) for one in range(first, nonce)]
    if not addresses:
        return DeployedBefore(chain_id=chain_id, code_hashes={})
    program = "0x" + code_hashes_program(addresses).hex()
    hashes = code_hashes_from(await rpc.call("eth_call", {"data": program}, "latest"), len(addresses))
    return DeployedBefore(chain_id=chain_id, code_hashes=dict(zip(addresses, hashes, strict=True)))
