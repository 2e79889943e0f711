"""Deploying a market: its four parts, each by a transaction of its own, in a way that anyone can check later.

    sender = Sender(unmarketed(rpc, chain_id, parameters), wallet)
    deployed = await deploy_market(sender, parameters, factory=await find_factory(rpc))
    deployed.market, deployed.first_block

Through a factory that deploys by CREATE2 the addresses follow from the parameters: who repeats it after it
was cut off goes on where it ended, and nobody deploys the same market twice. Where there is none, the
account deploys the parts itself, and goes on with those that it has deployed before (`deployed_before`).
Either way `market_check` sees that it was our creation code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from grange.chain.answers import bytes_from, count, fields_from
from grange.chain.chain_check import BLOCK_METHOD
from grange.chain.codec import artifact
from grange.chain.deployed_before import read_deployed
from grange.chain.deployment import FACTORIES, PARTS, SALT, addresses_by_create2, creation_code
from grange.chain.errors import ChainError, RpcError, TransactionError
from grange.chain.gas_cost import CallSize
from grange.chain.gateway import Chain
from grange.chain.receipts import Receipt
from grange.chain.rpc import Rpc
from grange.chain.sender import Sender
from grange.messages import NOBODY
from grange.types import Address, Parameters

GAS_PER_CODE_BYTE: Final = 200
GAS_PER_DATA_BYTE: Final = 16
GAS_BESIDES: Final = 250_000
"""Of a part: the transaction, the creation, and what its constructor looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A market that is there now."""

    parts: tuple[Address, ...]
    """In the order of `PARTS`; the last is the market."""
    first_block: int
    """0 where it was there already, and the endpoint does not show since when."""
    gas_used: int
    fee_wei: int

    @property
    def market(self) -> Address:
        """Where the market is."""
        return self.parts[-1]


def unmarketed(rpc: Rpc, chain_id: int, parameters: Parameters) -> Chain:
    """A chain on which there is no market yet, to send on."""
    return Chain(rpc, market=NOBODY, chain_id=chain_id, parameters=parameters)


async def find_factory(rpc: Rpc) -> Address | None:
    """A contract of this chain that deploys by CREATE2 for anyone; None if it has none that we know."""
    for factory in FACTORIES:
        if await _has_code(rpc, factory):
            return factory
    return None


def size_to_deploy(parameters: Parameters) -> CallSize:
    """About what deploying a market takes, in as many transactions as it has parts."""
    gas = data_bytes = 0
    for part in PARTS:
        created = len(creation_code(part, parameters, None if part == PARTS[0] else NOBODY))
        gas += GAS_PER_CODE_BYTE * len(artifact(part).runtime) + GAS_PER_DATA_BYTE * created + GAS_BESIDES
        data_bytes += created
    return CallSize(gas=gas, data_bytes=data_bytes)


async def deploy_token(sender: Sender, supply: int, *, gas: int | None = None) -> Address:
    """Deploy a token for one market, with 18 decimals and so many base units, which are the sender's. Raises
    ChainError."""
    code = artifact("GrangeToken").creation_code(supply)
    receipt = await sender.transact("deployment of a token", to=None, data=code, gas=gas)
    if receipt.contract_address is None:
        raise TransactionError("a token was deployed, and the receipt does not say where")
    return receipt.contract_address


async def find_token(
    sender: Sender, supply: int, parameters_of: Callable[[Address], Parameters], *, factory: Address | None
) -> Address | None:
    """Such a token that the sender deployed for a market which was not finished, and has all of; None if
    there is none. Raises ChainError."""
    rpc, before = sender.chain.rpc, await read_deployed(sender)
    for token in before.contracts():
        parameters = parameters_of(token)
        try:
            held = await unmarketed(rpc, sender.chain.chain_id, parameters).token_balance(sender.address)
        except ChainError:
            # It is not a token.
            continue
        if factory is not None:
            is_finished = await _has_code(rpc, addresses_by_create2(parameters, factory)[-1])
        else:
            is_finished = len(before.all_parts(parameters)) == len(PARTS)
        if held == supply and not is_finished:
            return token
    return None


async def deploy_market(
    sender: Sender,
    parameters: Parameters,
    *,
    factory: Address | None,
    gas: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Deployed:
    """Deploy all parts that are not there yet, one after the other. `gas` is the gas limit of each; estimated
    if it is None. `tell` is given a sentence for each part. Raises ChainError."""
    rpc = sender.chain.rpc
    planned = addresses_by_create2(parameters, factory) if factory is not None else ()
    before = await read_deployed(sender) if factory is None else None
    parts: list[Address] = []
    receipts: list[Receipt] = []
    first_block = 0
    for index, part in enumerate(PARTS):
        behind = parts[-1] if parts else None
        known = None if before is None else before.part(part, parameters, behind=behind)
        if planned and await _has_code(rpc, planned[index]):
            known = planned[index]
        if known is not None:
            parts.append(known)
            tell(f"{part} is at {known} already.")
            continue
        code = creation_code(part, parameters, behind)
        data = code if factory is None else SALT + code
        receipt = await sender.transact(f"deployment of {part}", to=factory, data=data, gas=gas)
        created = planned[index] if planned else receipt.contract_address
        if created is None or not await _has_code(rpc, created):
            raise TransactionError(f"{part} was deployed, and there is no code where it should be")
        receipts.append(receipt)
        parts.append(created)
        first_block = receipt.block
        tell(f"{part} is at {created}, in block {receipt.block}.")
    if not receipts:
        code = creation_code(PARTS[-1], parameters, parts[-2])
        first_block = await _find_first_block(rpc, parts[-1], code if factory is None else SALT + code)
    return Deployed(
        parts=tuple(parts),
        first_block=first_block,
        gas_used=sum(one.gas_used for one in receipts),
        fee_wei=sum(one.gas_used * one.effective_gas_price for one in receipts),
    )


async def _has_code(rpc: Rpc, address: Address, block: str = "latest") -> bool:
    return bool(bytes_from(await rpc.call("eth_getCode", address, block), "a contract's code"))


async def _find_first_block(rpc: Rpc, address: Address, data: bytes) -> int:
    """The block in which a contract was deployed by a transaction with this data; 0 if the endpoint does not
    have the states to tell."""
    newest = await rpc.call(BLOCK_METHOD, "latest", False)
    low, high = 1, count(newest["number"], "a block's number")
    try:
        while low < high:
            middle = (low + high) // 2
            if await _has_code(rpc, address, hex(middle)):
                high = middle
            else:
                low = middle + 1
        block = fields_from(await rpc.call(BLOCK_METHOD, hex(low), True), "a block")
    except RpcError:
        return 0
    # Some endpoints say of a state that they do not have that there was no code.
    is_there = any(one["input"] == "0x" + data.hex() for one in block["transactions"])
    return low if is_there else 0
