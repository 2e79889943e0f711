"""The tokens that a devnet's market can have.

    plain       18 decimals and permits
    usdc-like   6 decimals, a list of blocked accounts, no permits
    usdt-like   6 decimals, no permits, calls that return nothing, and an allowance that is not zero can only
                be set to zero

Decides their supply and symbols. Only what is deployed here can be blocked.
"""

from typing import Final, Literal

from grange.chain.codec import Artifact, artifact
from grange.chain.deploying import deploy_token
from grange.chain.sender import Sender
from grange.types import Address
from grange.units import TOKEN_DECIMALS
from grange_devnet.errors import DevnetError

TokenName = Literal["plain", "usdc-like", "usdt-like"]
SUPPLY_TOKENS: Final = 10**9
FEW_DECIMALS: Final = 6
_PACKAGE: Final = "grange_devnet"
_CONTRACTS: Final = {"usdc-like": ("UsdcLikeToken", "USDC"), "usdt-like": ("UsdtLikeToken", "USD₮")}


def devnet_artifact(contract: str) -> Artifact:
    """ABI and bytecode of a contract that only devnets have."""
    return artifact(contract, _PACKAGE)


async def deploy_devnet_token(sender: Sender, name: TokenName, *, gas: int | None = None) -> Address:
    """Deploy one; its whole supply is the sender's. Raises ChainError."""
    if name == "plain":
        return await deploy_token(sender, SUPPLY_TOKENS * 10**TOKEN_DECIMALS, gas=gas)
    contract, symbol = _CONTRACTS[name]
    code = devnet_artifact(contract).creation_code(SUPPLY_TOKENS * 10**FEW_DECIMALS, symbol, FEW_DECIMALS)
    receipt = await sender.transact("deployment of a token", to=None, data=code, gas=gas)
    if receipt.contract_address is None:
        raise DevnetError("a token was deployed, and the receipt does not say where")
    return receipt.contract_address


async def set_blocked(sender: Sender, account: Address, *, blocked: bool) -> None:
    """Block an account on a token that is usdc-like, or let it go on; by who deployed it. Raises
    ChainError."""
    call = devnet_artifact("UsdcLikeToken").abi.encode_call("setBlocked", (account, blocked))
    await sender.transact("setBlocked", to=sender.chain.token, data=call)
