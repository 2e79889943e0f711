"""A market on a chain in this process, and the accounts that play on it.

Decides how a call is sent, and how the contract is asked. Every transaction gets a block of its own, and none
may take more than MAX_GAS. Time and block hashes are the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from grange.chain import Call, Wallet
from grange.chain.codec import Abi, artifact, market_abi, token_abi
from grange.chain.deployment import PARTS, creation_code
from grange.chain.permit import PermitBasis
from grange.messages import Domain
from grange.types import Address, Parameters, Permit, address_from
from grange_devnet.evm import Evm
from grange_devnet.evm_json import log_json
from grange_devnet.evm_values import CallRequest, EvmError

from .asking import Asking

CHAIN_ID = 1337
MAX_GAS = 15_000_000
FEE_WEI = 100_000_000_000
SUPPLY = 10**30
FUNDS = 10**27
PERMIT_LIFE_SECONDS = 10**12

FAUCET = Wallet(bytes([1]) * 32)


class Stage:
    """The chain with a market on it, and funded accounts that let the market pull their tokens."""

    def __init__(self, parameters: Parameters, actors: Sequence[Wallet]) -> None:
        self.drawn = 0
        self.wallets = {one.address: one for one in (FAUCET, *actors)}
        self.evm = Evm(
            clock=lambda: 0.0,
            randomness=self._drawn,
            chain_id=CHAIN_ID,
            balances={_raw(address): 10**27 for address in self.wallets},
        )
        self.asking = Asking(self.evm)
        self.nonces = dict.fromkeys(self.wallets, 0)
        self.token = self._deploy(artifact("GrangeToken").creation_code(SUPPLY))
        self.parameters = replace(parameters, token=self.token)
        self.market = self._deploy_market()
        self.domain = Domain(chain_id=CHAIN_ID, market=self.market)
        for actor in actors:
            self.send(
                FAUCET.address, Call(contract="token", function="transfer", args=(actor.address, FUNDS))
            )
            self.approve(actor.address)

    def approve(self, account: Address) -> None:
        """Let the market pull all that an account was given."""
        self.send(account, Call(contract="token", function="approve", args=(self.market, FUNDS)))

    def permit(self, owner: Address, signer: Wallet, value: int) -> Permit:
        """The owner's permit for the market; good if the owner signs it."""
        basis = PermitBasis(
            domain_separator=self._ask(token_abi(), self.token, "DOMAIN_SEPARATOR", ()),
            nonce=self._ask(token_abi(), self.token, "nonces", (owner,)),
            timestamp=0,
        )
        return basis.sign(signer, spender=self.market, value=value, life_seconds=PERMIT_LIFE_SECONDS)

    def _drawn(self, size: int) -> bytes:
        """Other bytes each time, and the same in every run."""
        self.drawn += 1
        return sha256(self.drawn.to_bytes(8)).digest()[:size]

    @property
    def block(self) -> int:
        """The height of the chain."""
        return self.evm.head.number

    def mine(self, blocks: int) -> None:
        """Let time pass."""
        self.evm.mine(blocks)

    def mark(self) -> tuple[int, dict[Address, int]]:
        """Remember the chain as it is."""
        return self.evm.snapshot(), dict(self.nonces)

    def go_back(self, mark: tuple[int, dict[Address, int]]) -> None:
        """What was mined since never happened. The mark is used up."""
        snapshot, nonces = mark
        assert self.evm.revert(snapshot)
        self.nonces = dict(nonces)

    def refusal(self, sender: Address, call: Call) -> str | None:
        """The error that the call would end with in the next block; None if it would succeed."""
        request = CallRequest(sender=_raw(sender), to=_raw(self._target(call)), data=self._data(call))
        try:
            self.evm.call(request, None)
        except EvmError as error:
            data = error.data
        else:
            return None
        assert data, f"{call.function} fails and does not say why"
        name, values = market_abi().decode_error(data)
        if name == "Unknown":
            name, values = token_abi().decode_error(data)
        assert name not in ("Unknown", "Panic", "Error"), f"{call.function}: {name} {values}"
        return name

    def send(self, sender: Address, call: Call) -> int:
        """Mine the call, which must succeed; the gas it used."""
        gas = self._mine(sender, self._target(call), self._data(call))
        assert gas <= MAX_GAS, f"{call.function} took {gas} gas"
        return gas

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """The market's events in the newest block."""
        block = self.evm.head
        logs = [log for executed in block.executed for log in executed.logs]
        events = [market_abi().decode_log(log_json(block, log)) for log in logs]
        return [(event.name, dict(event.args)) for event in events if event is not None]

    def ask(self, function: str, *args: Any) -> Any:
        """What the market shows at the newest block."""
        return self._ask(market_abi(), self.market, function, args)

    def tokens(self, account: str) -> int:
        """Tokens of an account."""
        return int(self._ask(token_abi(), self.token, "balanceOf", (account,)))

    def _ask(self, abi: Abi, to: Address, function: str, args: tuple[Any, ...]) -> Any:
        return abi.decode_result(function, self.asking.ask(_raw(to), abi.encode_call(function, args)))

    def _target(self, call: Call) -> Address:
        return self.market if call.contract == "market" else self.token

    def _data(self, call: Call) -> bytes:
        abi = market_abi() if call.contract == "market" else token_abi()
        return abi.encode_call(call.function, call.args)

    def _deploy_market(self) -> Address:
        deployed = None
        for part in PARTS:
            deployed = self._deploy(creation_code(part, self.parameters, deployed))
        assert deployed is not None
        return deployed

    def _deploy(self, code: bytes) -> Address:
        self._mine(FAUCET.address, None, code)
        made = self.evm.head.executed[0].contract_address
        assert made is not None
        return address_from(made)

    def _mine(self, sender: Address, to: Address | None, data: bytes) -> int:
        fields = {
            "type": 2,
            "chainId": CHAIN_ID,
            "nonce": self.nonces[sender],
            "gas": 2 * MAX_GAS,
            "maxFeePerGas": FEE_WEI,
            "maxPriorityFeePerGas": 1,
            "value": 0,
            "data": data,
        }
        raw, _ = self.wallets[sender].sign_transaction(fields if to is None else {**fields, "to": to})
        self.evm.submit(raw)
        self.nonces[sender] += 1
        (executed,) = self.evm.head.executed
        assert executed.succeeded, "a transaction failed that the call before it did not"
        return executed.gas_used


def _raw(address: str) -> bytes:
    return bytes.fromhex(address[2:])
