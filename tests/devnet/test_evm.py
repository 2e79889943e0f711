"""The in-process chain follows Prague's rules; its pool, blocks and snapshots are those of a real node."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from devnet_support import RICH, SOMEBODY, LocalChain
from eth_account import Account

from grange.chain.codec import artifact
from grange_devnet.evm_pool import MAX_NONCE_GAP
from grange_devnet.evm_values import floor_gas

HISTORY_CONTRACT = "0x0000F90827F1C53a10cb7A02335B175320002935"
# Returns whatever word it is given; reverts on empty calldata.
ECHO = "0x6016600c60003960166000f3" + "361560105760003560005260206000f35b60006000fd"


def test_each_transaction_gets_a_block_at_once(local: LocalChain) -> None:
    for nonce in range(3):
        receipt = local.ask("eth_getTransactionReceipt", local.send(nonce))
        assert (receipt["status"], int(receipt["gasUsed"], 16)) == ("0x1", 21_000)
        assert int(receipt["blockNumber"], 16) == nonce + 1
    assert int(local.ask("eth_getBalance", SOMEBODY, "latest"), 16) == 15


def test_without_automine_transactions_wait_and_share_a_block(local: LocalChain) -> None:
    local.ask("evm_setAutomine", False)
    hashes = [local.send(nonce) for nonce in range(3)]
    assert (local.count("latest"), local.count("pending"), local.height) == (0, 3, 0)
    assert local.ask("eth_getTransactionReceipt", hashes[0]) is None
    assert local.ask("eth_getTransactionByHash", hashes[0])["blockNumber"] is None
    local.ask("evm_mine")
    block = local.ask("eth_getBlockByNumber", "latest", False)
    assert (block["transactions"], local.height) == (hashes, 1)
    assert int(block["gasUsed"], 16) == 63_000
    receipts = [local.ask("eth_getTransactionReceipt", one) for one in hashes]
    assert [int(receipt["cumulativeGasUsed"], 16) for receipt in receipts] == [21_000, 42_000, 63_000]


def test_a_gap_in_the_nonces_is_waited_for(local: LocalChain) -> None:
    later = local.send(1)
    assert (local.height, local.count("pending")) == (0, 0)
    local.send(0)
    assert local.height == 2
    assert int(local.ask("eth_getTransactionReceipt", later)["blockNumber"], 16) == 2


def test_the_same_nonce_needs_a_higher_fee(local: LocalChain) -> None:
    local.ask("evm_setAutomine", False)
    old = local.send(0)
    refusal = local.refusal("eth_sendRawTransaction", local.raw(0, maxFeePerGas=105 * 10**9))
    assert refusal["message"] == "replacement transaction underpriced"
    new = local.send(0, maxFeePerGas=2 * 10**11, maxPriorityFeePerGas=2 * 10**9)
    local.ask("evm_mine")
    assert local.ask("eth_getTransactionReceipt", old) is None
    assert local.ask("eth_getTransactionByHash", old) is None
    assert local.ask("eth_getTransactionReceipt", new)["status"] == "0x1"


@pytest.mark.parametrize(
    ("nonce", "changes", "said"),
    [
        (0, {"value": 10**25}, "insufficient funds"),
        (0, {"gas": 20_000}, "intrinsic gas too low"),
        (0, {"gas": 30_000_001}, "exceeds block gas limit"),
        (0, {"chainId": 1}, "invalid chain id"),
        (MAX_NONCE_GAP + 1, {}, "nonce too high"),
        (0, {"data": b"\x01" * 1_000, "gas": 40_000}, "intrinsic gas too low"),
    ],
)
def test_what_can_never_be_mined_is_refused(
    local: LocalChain, nonce: int, changes: dict[str, object], said: str
) -> None:
    assert said in local.refusal("eth_sendRawTransaction", local.raw(nonce, **changes))["message"]
    assert local.height == 0


def test_a_used_nonce_and_a_known_transaction_are_refused(local: LocalChain) -> None:
    raw = local.raw(0)
    local.ask("eth_sendRawTransaction", raw)
    assert local.refusal("eth_sendRawTransaction", raw)["message"] == "already known"
    again = local.refusal("eth_sendRawTransaction", local.raw(0, value=6))
    assert "nonce too low" in again["message"]
    assert "invalid transaction" in local.refusal("eth_sendRawTransaction", "0x02abcd")["message"]


def test_calldata_costs_its_floor(local: LocalChain) -> None:
    data = b"\x01" * 1_000 + bytes(1_000)
    used = int(local.ask("eth_getTransactionReceipt", local.send(0, data=data, gas=100_000))["gasUsed"], 16)
    assert used == floor_gas(data) == 21_000 + 10 * (4 * 1_000 + 1_000)
    request = {"from": RICH.address, "to": SOMEBODY, "data": "0x" + data.hex()}
    assert int(local.ask("eth_estimateGas", request), 16) == used


def test_old_block_hashes_stay_available_to_contracts(local: LocalChain) -> None:
    local.evm.mine(400)
    request = {"to": HISTORY_CONTRACT, "data": "0x" + (3).to_bytes(32, "big").hex()}
    assert local.ask("eth_call", request, "latest") == local.ask("eth_getBlockByNumber", "0x3", False)["hash"]


def test_reverts_carry_their_data(local: LocalChain) -> None:
    deployed = local.ask("eth_getTransactionReceipt", local.send(0, to="", data=ECHO, gas=200_000, value=0))
    echo = deployed["contractAddress"]
    word = "0x" + "ab" * 32
    assert local.ask("eth_call", {"to": echo, "data": word}) == word
    for method in ("eth_call", "eth_estimateGas"):
        refusal = local.refusal(method, {"to": echo})
        assert refusal["code"] == 3
        assert refusal["message"] == "execution reverted"
    receipt = local.ask("eth_getTransactionReceipt", local.send(1, to=echo, value=0, gas=100_000))
    assert receipt["status"] == "0x0"


def test_calls_leave_no_trace(local: LocalChain) -> None:
    before = local.ask("eth_getBlockByNumber", "latest", False)["stateRoot"]
    request = {"from": RICH.address, "to": SOMEBODY, "value": "0x5"}
    for tag in ("latest", "pending"):
        local.ask("eth_call", request, tag)
        local.ask("eth_estimateGas", request, tag)
    assert int(local.ask("eth_getBalance", SOMEBODY, "pending"), 16) == 0
    assert local.ask("eth_getBlockByNumber", "latest", False)["stateRoot"] == before
    assert "insufficient funds" in local.refusal("eth_call", {**request, "value": hex(10**25)})["message"]


def test_state_can_be_read_as_it_was(local: LocalChain) -> None:
    for nonce in range(3):
        local.send(nonce)
    balances = [int(local.ask("eth_getBalance", SOMEBODY, hex(n)), 16) for n in range(4)]
    assert balances == [0, 5, 10, 15]


def test_a_revert_forgets_what_came_after_the_snapshot(local: LocalChain) -> None:
    local.send(0)
    snapshot = local.ask("evm_snapshot")
    kept = local.ask("eth_getBlockByNumber", "latest", False)["hash"]
    lost = local.send(1)
    lost_block = local.ask("eth_getBlockByNumber", "latest", False)["hash"]
    assert local.ask("evm_revert", snapshot) is True
    assert (local.height, local.count("pending")) == (1, 1)
    assert local.ask("eth_getTransactionReceipt", lost) is None
    assert local.ask("eth_getBlockByHash", lost_block) is None
    local.send(1, value=6)
    block = local.ask("eth_getBlockByNumber", "latest", False)
    assert (block["parentHash"], int(block["number"], 16)) == (kept, 2)
    assert block["hash"] != lost_block
    assert local.ask("evm_revert", snapshot) is False


def test_the_clock_goes_forward_block_by_block_and_can_be_advanced(local: LocalChain) -> None:
    local.evm.mine(5)
    times = [
        int(local.ask("eth_getBlockByNumber", hex(number), False)["timestamp"], 16) for number in range(6)
    ]
    assert all(later > earlier for earlier, later in pairwise(times))
    local.ask("evm_increaseTime", 3_600)
    local.evm.mine()
    assert int(local.ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16) >= times[-1] + 3_000


def test_transactions_that_do_not_fit_wait_for_the_next_block(local: LocalChain) -> None:
    local.ask("evm_setAutomine", False)
    for nonce in range(3):
        local.send(nonce, gas=29_979_000)
    sizes = []
    while local.count() < 3:
        local.ask("evm_mine")
        sizes.append(len(local.ask("eth_getBlockByNumber", "latest", False)["transactions"]))
    assert sizes == [2, 1]


def test_transactions_of_several_accounts_are_all_taken(local: LocalChain) -> None:
    others = [Account.create() for _ in range(5)]
    for nonce, other in enumerate(others):
        local.send(nonce, to=other.address, value=10**18)
    local.ask("evm_setAutomine", False)
    for other in others:
        signed = other.sign_transaction(
            {
                "type": 2, "chainId": 1337, "nonce": 0, "gas": 21_000, "to": SOMEBODY, "value": 1,
                "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9, "data": b"",
            }
        )  # fmt: skip
        local.ask("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
    local.ask("evm_mine")
    assert len(local.ask("eth_getBlockByNumber", "latest", False)["transactions"]) == 5


def test_a_thousand_blocks_do_not_make_it_slow(local: LocalChain) -> None:
    token = artifact("GrangeToken")
    address = local.deploy(0, token.creation_code(10**18))["contractAddress"]
    transfer = token.abi.encode_call("transfer", (SOMEBODY, 1))
    for nonce in range(1, 21):
        local.send(nonce, to=address, data=transfer, gas=100_000, value=0)
        local.evm.mine(50)
    started = time.perf_counter()
    logs = local.ask("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": address})
    for log in logs:
        local.ask("eth_getTransactionReceipt", log["transactionHash"])
        local.ask("eth_call", {"to": address, "data": "0x18160ddd"})
    # Measured: 0.05 s. A search through the chain for each receipt would take tens of seconds.
    assert time.perf_counter() - started < 5
    assert len(logs) == 21
