"""A chain in this process, asked in JSON-RPC."""

from __future__ import annotations

from typing import Any

from eth_account import Account

from grange.chain import Wallet
from grange_devnet.evm import Evm
from grange_devnet.pyevm_rpc import RpcMethods

RICH = Wallet(bytes([1]) * 32)
SOMEBODY = "0x" + "07" * 20


class LocalChain:
    """The py-evm chain without HTTP."""

    def __init__(self) -> None:
        self.evm = Evm(chain_id=1337, balances={bytes.fromhex(RICH.address[2:]): 10**24})
        self.methods = RpcMethods(self.evm, client_version="test")

    def ask(self, method: str, *params: Any) -> Any:
        """The result; AssertionError with the refusal if there is one."""
        answer = self.methods.answer({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def refusal(self, method: str, *params: Any) -> dict[str, Any]:
        """The error that the request must end in."""
        answer = self.methods.answer({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        error: dict[str, Any] = answer["error"]
        return error

    def raw(self, nonce: int, **changes: Any) -> str:
        """A signed transfer of 5 wei."""
        fields = {
            "type": 2,
            "chainId": 1337,
            "nonce": nonce,
            "gas": 21_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
            "to": SOMEBODY,
            "value": 5,
            "data": b"",
            **changes,
        }
        return "0x" + bytes(Account.sign_transaction(fields, RICH.private_key).raw_transaction).hex()

    def send(self, nonce: int, **changes: Any) -> Any:
        return self.ask("eth_sendRawTransaction", self.raw(nonce, **changes))

    def deploy(self, nonce: int, code: bytes) -> dict[str, Any]:
        """Deploy a contract; the receipt of it."""
        tx_hash = self.send(nonce, to="", value=0, gas=20_000_000, data=code)
        receipt: dict[str, Any] = self.ask("eth_getTransactionReceipt", tx_hash)
        assert receipt["status"] == "0x1"
        return receipt

    @property
    def height(self) -> int:
        return int(self.ask("eth_blockNumber"), 16)

    def count(self, tag: str = "latest") -> int:
        return int(self.ask("eth_getTransactionCount", RICH.address, tag), 16)
