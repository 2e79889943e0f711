"""Whether a market can live on a chain: looked at before anything is deployed.

    findings = await probe_chain(rpc)
    for one in findings:
        one.what, one.is_right, one.text

Nothing is sent: small programs are run by `eth_call`, as the constructor of the market would run them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grange.chain.answers import block_hash_from, bytes_from, count, fields_from, quantity
from grange.chain.chain_check import BLOCK_METHOD, CHAIN_ID_METHOD
from grange.chain.endpoint import public_part
from grange.chain.errors import AnswerUnreadable, RpcError
from grange.chain.refusals import LOGS_METHOD
from grange.chain.rpc import Rpc
from grange.errors import Category, UserError, WorldError

HISTORY_CONTRACT: Final = "0x0000F90827F1C53a10cb7A02335B175320002935"
"""Where chains keep the hashes of 8,191 blocks for contracts (EIP-2935)."""
MOST_CALL_GAS: Final = 15_000_000
"""No call of the market takes more, and no part of it to deploy."""
YOUNG_BLOCKS: Final = 2
"""Below this height there may be no hashes yet."""
_WORD: Final = 32

_OPCODES: Final = bytes.fromhex(
    "60015f5d"  # TSTORE 1 at 0 (EIP-1153)
    "5f5c5f52"  # TLOAD it into memory
    "60205f60205e"  # MCOPY that word (EIP-5656)
    "60206020f3"
)
"""Returns 1. PUSH0, TSTORE, TLOAD and MCOPY are what the market's code has and chains before Cancun lack."""
MOST_CODE_BYTES: Final = 24_576
"""What Ethereum lets a contract have (EIP-170), and the largest part of the market nearly has."""
_LARGE_CODE: Final = bytes.fromhex("6160005ff3")
"""Returns so many bytes of nothing, as a constructor returns code."""
_HASHES: Final = bytes.fromhex(
    "6001430380600052"  # the number of the block before this one
    "40602052"  # its hash by the chain's own opcode
    "602060406020600073" + HISTORY_CONTRACT[2:] + "5afa"  # its hash by the history contract
    "606052"  # whether that answered
    "60806000f3"
)
"""Returns four words: number, hash, hash in the history contract, and whether that one answered. The
number is the first since no code may begin with 0xef, as a hash may (EIP-3541)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a market needs, and how it is on this chain."""

    what: str
    is_right: bool
    text: str


class ChainUnfit(UserError, WorldError):
    """A market can't live on the chain; what was found says why."""

    category = Category.WRONG_CHAIN

    def __init__(self, url: str, findings: Sequence[Finding]) -> None:
        super().__init__(
            f"A market can't live on the chain of {public_part(url)}.",
            detail=" ".join(f"{one.what.capitalize()}: {one.text}." for one in findings),
            hint="docs/live.md says which chains it can live on.",
        )
        self.findings = tuple(findings)


async def probe_chain(rpc: Rpc) -> list[Finding]:
    """All that was looked at. Raises ChainUnavailable and AnswerUnreadable."""
    chain_id = quantity(await rpc.call(CHAIN_ID_METHOD), "a chain id")
    head = fields_from(await rpc.call(BLOCK_METHOD, "latest", False), "the newest block")
    number = count(head["number"], "a block's number")
    found = [
        Finding(what="chain id", is_right=chain_id > 0, text=f"{chain_id}, at block {number}"),
        _fees(head.get("baseFeePerGas")),
        _gas_limit(count(head["gasLimit"], "a block's gas limit")),
        await _opcodes(rpc),
    ]
    found.append(await _code_size(rpc))
    found += await _block_hashes(rpc, number)
    found.append(await _logs(rpc, number))
    return found


def _fees(base_fee: object) -> Finding:
    if base_fee is None:
        return Finding(what="fees", is_right=False, text="blocks have no base fee (EIP-1559)")
    return Finding(what="fees", is_right=True, text="by base fee and tip (EIP-1559)")


def _gas_limit(limit: int) -> Finding:
    text = f"{limit:,} in a block"
    if limit >= MOST_CALL_GAS:
        return Finding(what="gas", is_right=True, text=text)
    return Finding(what="gas", is_right=False, text=f"{text}: calls of the market may take {MOST_CALL_GAS:,}")


async def _opcodes(rpc: Rpc) -> Finding:
    try:
        is_right = int.from_bytes(await _run(rpc, _OPCODES)) == 1
        text = "those of Cancun are there" if is_right else "those of Cancun do something else"
    except RpcError:
        is_right, text = False, "those of Cancun are missing (TSTORE, TLOAD, MCOPY, PUSH0)"
    return Finding(what="opcodes", is_right=is_right, text=text)


async def _code_size(rpc: Rpc) -> Finding:
    """What deploying the largest contract of Ethereum takes is estimated, and nothing deployed."""
    size = f"{MOST_CODE_BYTES:,} bytes"
    try:
        gas = quantity(await rpc.call("eth_estimateGas", {"data": "0x" + _LARGE_CODE.hex()}), "an estimate")
    except RpcError as error:
        text = f"contracts of {size} can't be deployed: {error.message}"
        return Finding(what="code size", is_right=False, text=text)
    if gas > MOST_CALL_GAS:
        text = f"a contract of {size} takes {gas:,} gas to deploy, and {MOST_CALL_GAS:,} are counted on"
        return Finding(what="code size", is_right=False, text=text)
    return Finding(what="code size", is_right=True, text=f"contracts may have {size}")


async def _block_hashes(rpc: Rpc, head: int) -> list[Finding]:
    if head < YOUNG_BLOCKS:
        text = f"at block {head} there are none yet: the contract does not look either"
        return [Finding(what="block hashes", is_right=True, text=text)]
    try:
        answer = await _run(rpc, _HASHES)
    except RpcError as error:
        return [
            Finding(what="block hashes", is_right=False, text=f"they can't be looked at: {error.message}")
        ]
    if len(answer) != 4 * _WORD:
        raise AnswerUnreadable("block hashes", f"{len(answer)} bytes instead of {4 * _WORD}")
    number_word, own, kept, answered = (answer[at : at + _WORD] for at in range(0, 4 * _WORD, _WORD))
    number = int.from_bytes(number_word)
    block = await rpc.call(BLOCK_METHOD, hex(number), False) if number <= head else None
    shown = None if block is None else block_hash_from(block)
    return [_numbers(number, head, own, shown), _history(own, kept, is_there=any(answered))]


def _numbers(number: int, head: int, own: bytes, shown: bytes | None) -> Finding:
    what = "block numbers"
    if abs(number - head) > 1:
        text = f"contracts see block {number + 1}, and the chain is at {head}: they count another chain's"
        return Finding(what=what, is_right=False, text=text)
    if not any(own):
        return Finding(what=what, is_right=False, text="contracts see no hash of the block before theirs")
    if shown is not None and own != shown:
        text = f"contracts see another hash of block {number} than the chain has: seeds could be known early"
        return Finding(what=what, is_right=False, text=text)
    return Finding(what=what, is_right=True, text="contracts see the chain's own blocks and their hashes")


def _history(own: bytes, kept: bytes, *, is_there: bool) -> Finding:
    what = "older block hashes"
    if not is_there or not any(kept):
        text = f"there is no history contract (EIP-2935) at {HISTORY_CONTRACT}, which long epochs need"
        return Finding(what=what, is_right=False, text=text)
    if kept != own:
        text = "the history contract (EIP-2935) has other hashes than the chain"
        return Finding(what=what, is_right=False, text=text)
    return Finding(what=what, is_right=True, text="the history contract (EIP-2935) keeps them")


async def _logs(rpc: Rpc, head: int) -> Finding:
    try:
        await rpc.call(LOGS_METHOD, {"fromBlock": hex(head), "toBlock": hex(head)})
    except RpcError as error:
        return Finding(
            what="events", is_right=False, text=f"the endpoint does not show them: {error.message}"
        )
    return Finding(what="events", is_right=True, text="the endpoint shows them")


async def _run(rpc: Rpc, code: bytes) -> bytes:
    """What a constructor returns, that is not deployed."""
    return bytes_from(await rpc.call("eth_call", {"data": "0x" + code.hex()}, "latest"), "a program's result")
