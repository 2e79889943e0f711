"""Requests, batches, filters and refusals have the forms of Ethereum JSON-RPC."""

from __future__ import annotations

import pytest
from devnet_support import RICH, SOMEBODY, LocalChain

from grange.chain.codec import artifact
from grange_devnet.pyevm_rpc import MAX_BATCH_REQUESTS

TOKEN = artifact("GrangeToken")


def test_a_batch_is_answered_in_order_with_refusals_in_their_places(local: LocalChain) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": "b", "method": "eth_nothing"},
        {"jsonrpc": "2.0", "id": "c", "method": "eth_blockNumber", "params": []},
    ]
    answers = local.methods.answer(batch)
    assert [answer["id"] for answer in answers] == ["a", "b", "c"]
    assert [answer.get("result") for answer in answers] == ["0x539", None, "0x0"]
    assert answers[1]["error"]["code"] == -32601


@pytest.mark.parametrize("request_", [1, "x", {}, {"id": 1}, {"method": 5}, [1], []])
def test_what_is_no_request_is_refused(local: LocalChain, request_: object) -> None:
    answer = local.methods.answer(request_)
    answer = answer[0] if isinstance(answer, list) else answer
    assert answer["error"]["code"] == -32600


def test_a_batch_has_a_limit(local: LocalChain) -> None:
    one = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
    assert local.methods.answer([one] * (MAX_BATCH_REQUESTS + 1))["error"]["code"] == -32600


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBalance", []),
        ("eth_getBalance", ["0xzz", "latest"]),
        ("eth_getBlockByNumber", ["soon", False]),
        ("eth_call", ["0x"]),
        ("eth_getLogs", [{"topics": ["0x1"]}]),
        ("evm_mine", [{"blocks": 0}]),
    ],
)
def test_wrong_parameters_are_refused_as_such(local: LocalChain, method: str, params: list[object]) -> None:
    assert local.refusal(method, *params)["code"] == -32602


def test_unknown_blocks_and_transactions_are_null(local: LocalChain) -> None:
    nothing = "0x" + "00" * 32
    assert local.ask("eth_getBlockByNumber", "0xffff", False) is None
    assert local.ask("eth_getBlockByHash", nothing, False) is None
    assert local.ask("eth_getTransactionByHash", nothing) is None
    assert local.ask("eth_getTransactionReceipt", nothing) is None
    assert local.refusal("eth_getBalance", SOMEBODY, "0xffff")["message"] == "header not found"


def test_logs_are_chosen_by_block_address_and_topics(local: LocalChain) -> None:
    deployed = local.deploy(0, TOKEN.creation_code(10**18))
    token, transfer = deployed["contractAddress"], "0x" + TOKEN.abi.event("Transfer").topic.hex()
    receivers = ["0x" + f"{i:02x}" * 20 for i in (1, 2, 1)]
    for nonce, receiver in enumerate(receivers, start=1):
        data = TOKEN.abi.encode_call("transfer", (receiver, nonce))
        local.send(nonce, to=token, data=data, gas=100_000, value=0)

    def blocks(**wanted: object) -> list[int]:
        request = {"fromBlock": "0x0", "toBlock": "latest", **wanted}
        return [int(log["blockNumber"], 16) for log in local.ask("eth_getLogs", request)]

    first = "0x" + receivers[0][2:].rjust(64, "0")
    sender = "0x" + RICH.address[2:].lower().rjust(64, "0")
    assert blocks() == [1, 2, 3, 4]
    assert blocks(address=token, fromBlock="0x2", toBlock="0x3") == [2, 3]
    assert blocks(address=[token, SOMEBODY], topics=[transfer]) == [1, 2, 3, 4]
    assert blocks(address=SOMEBODY) == []
    assert blocks(topics=[transfer, None, first]) == [2, 4]
    assert blocks(topics=[None, [sender, first]]) == [2, 3, 4]
    assert blocks(topics=[first]) == []
    by_hash = {"blockHash": local.ask("eth_getBlockByNumber", "0x3", False)["hash"]}
    assert len(local.ask("eth_getLogs", by_hash)) == 1


def test_fees_are_told(local: LocalChain) -> None:
    local.evm.mine(3)
    base = int(local.ask("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    assert 0 < base < 10**9
    assert int(local.ask("eth_gasPrice"), 16) > int(local.ask("eth_maxPriorityFeePerGas"), 16) > 0
    history = local.ask("eth_feeHistory", 2, "latest", [50])
    assert (len(history["baseFeePerGas"]), len(history["gasUsedRatio"])) == (3, 2)


def test_a_block_can_be_shown_with_whole_transactions(local: LocalChain) -> None:
    tx_hash = local.send(0)
    shown = local.ask("eth_getBlockByNumber", "latest", True)["transactions"]
    assert shown == [local.ask("eth_getTransactionByHash", tx_hash)]
    assert (shown[0]["from"], shown[0]["nonce"]) == (RICH.address, "0x0")
