"""Each part of the market can be deployed by a transaction of its own, on any chain with Osaka's rules."""

from __future__ import annotations

from dataclasses import replace

from devnet_support import LocalChain

from grange.chain.codec import artifact
from grange.chain.deployment import PARTS, creation_code
from grange.types import address_from
from grange_devnet import DEVNET_PARAMETERS

MAX_CODE_BYTES = 24_576
"""EIP-170."""
MAX_CREATION_CODE_BYTES = 49_152
"""EIP-3860."""
MAX_GAS = 16_777_216
"""Of a transaction: EIP-7825."""


def test_each_part_stays_below_the_limits_of_code_and_gas(local: LocalChain) -> None:
    token = address_from(local.deploy(0, artifact("GrangeToken").creation_code(10**18))["contractAddress"])
    parameters = replace(DEVNET_PARAMETERS, token=token)
    behind = None
    for nonce, part in enumerate(PARTS, start=1):
        code = creation_code(part, parameters, behind)
        receipt = local.deploy(nonce, code)
        behind = address_from(receipt["contractAddress"])
        deployed = (len(local.ask("eth_getCode", behind, "latest")) - 2) // 2
        assert 0 < deployed <= MAX_CODE_BYTES, part
        assert len(code) <= MAX_CREATION_CODE_BYTES, part
        assert int(receipt["gasUsed"], 16) <= MAX_GAS, part
