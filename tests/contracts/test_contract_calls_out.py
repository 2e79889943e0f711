"""The market calls its token, its own parts, precompiles and history, and a renter's wallet when it signed;
no address or selector out of calldata. And it counts blocks: there is no clock that an outage moves on.

What holds approvals and calls what it is told has cost others all that was approved.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

CONTRACTS = Path(__file__).parents[2] / "contracts"
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
OUT = re.compile(
    r"(?:[\w.()\[\]]+\.)?\b(?:call|callcode|staticcall|delegatecall|safeTransfer|safeTransferFrom|permit"
    r"|forceApprove|safeIncreaseAllowance|approve|transfer|transferFrom|create|create2)\b"
    r"(?:\{[^}]*\})?\(\s*(?:gas\(\)|[\w.]+)(?:, \w+)?"
)
EXPECTED = {
    "libraries/Merkle.sol": ["staticcall(gas(),0x02"],
    "libraries/SeedBlocks.sol": ["Blockhash.HISTORY_STORAGE_ADDRESS.staticcall(abi.encode"],
    "libraries/WalletSignature.sol": ["staticcall(GAS,wallet"],
    "modules/Balances.sol": [
        "IERC20(TOKEN).safeTransferFrom(msg.sender,address",
        "IERC20(TOKEN).safeTransfer(to,amount",
        "IERC20Permit(TOKEN).permit(msg.sender,address",
    ],
    "modules/Parts.sol": ["delegatecall(gas(),next"],
}


NOT_THE_MARKET = {"token", "devnet"}
"""Folders of contracts that the market does not consist of."""


def sources() -> dict[str, str]:
    """The market's sources without comments, each by its path."""
    return {
        str(path.relative_to(CONTRACTS)): re.sub(COMMENT, "", path.read_text())
        for path in sorted(CONTRACTS.rglob("*.sol"))
        if not NOT_THE_MARKET & set(path.relative_to(CONTRACTS).parts)
    }


def calls_of(source: str) -> list[str]:
    return [re.sub(r"\s+", "", one) for one in OUT.findall(source)]


def test_no_call_goes_where_calldata_says() -> None:
    found = {path: calls_of(source) for path, source in sources().items()}
    assert {path: calls for path, calls in found.items() if calls} == EXPECTED


def test_a_call_that_goes_there_would_be_found() -> None:
    for call in (
        "target.call(data",
        "target.call{value:1}(data",
        "call(gas(),target",
        "token_.transfer(to,all",
    ):
        assert Counter(calls_of(f"x = {call.replace(',', ', ')});"))[call] == 1


def test_time_is_counted_in_blocks_and_no_gas_token_is_taken() -> None:
    words = Counter(
        re.findall(r"block\.\w+|\btx\.\w+|\bpayable\b|\bselfdestruct\b", "".join(sources().values()))
    )
    assert words["block.number"]
    assert words.keys() <= {"block.number", "block.chainid"}
