"""A contract wallet in a town, whose owner makes it call what a command prints."""

from __future__ import annotations

from pathlib import Path

from e2e_command import grange
from e2e_town import Town

from grange.chain import Sender, Wallet
from grange.types import Address
from grange_devnet.tokens import devnet_artifact


class ContractWallet:
    """A wallet on chain, and its owner, who sends what `grange keys wallet-calls` prints."""

    def __init__(self, owner: Sender, address: Address) -> None:
        self.owner = owner
        self.address = address

    @classmethod
    async def deploy(cls, town: Town, *, tokens: int, key: Wallet | None = None) -> ContractWallet:
        """With so many base units. Its owner is a key that nobody else has, or the one given."""
        owner = town.sender(key or Wallet.random())
        await town.devnet.faucet(owner.address, 10**18, 0)
        code = devnet_artifact("DevnetWallet").creation_code(owner.address)
        address = (await owner.transact("deployment of a wallet", to=None, data=code)).contract_address
        assert address is not None
        await town.devnet.faucet(address, 0, tokens)
        return cls(owner, address)

    async def call(self, home: Path, *options: object) -> list[str]:
        """What the command prints is called, one after the other; the functions' names."""
        printed = (await grange("keys", "wallet-calls", *options, "--json", "--home", home)).json
        for one in printed:
            assert one["value"] == "0"
            data = devnet_artifact("DevnetWallet").abi.encode_call(
                "execute", (one["to"], bytes.fromhex(one["data"][2:]))
            )
            await self.owner.transact(one["function"], to=self.address, data=data)
        return [one["function"] for one in printed]
