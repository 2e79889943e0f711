"""Each part of the market can be deployed by a transaction of its own, on any chain with Osaka's rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
from devnet_support import LocalChain

from grange.chain.codec import artifact
from grange.types import address_from
from grange_devnet import DEVNET_PARAMETERS

MAX_CODE_BYTES = 24_576
"""EIP-170."""
MAX_CREATION_CODE_BYTES = 49_152
"""EIP-3860."""
MAX_GAS = 16_777_216
"""Of a transaction: EIP-7825."""


@pytest.mark.parametrize("contract", ["GrangeToken", "MarketExtension", "Market"])
def test_a_part_stays_below_the_limits_of_code_and_gas(local: LocalChain, contract: str) -> None:
    token = address_from(local.deploy(0, artifact("GrangeToken").creation_code(10**18))["contractAddress"])
    parameters = replace(DEVNET_PARAMETERS, token=token)
    extension = address_from(
        local.deploy(1, artifact("MarketExtension").creation_code(parameters))["contractAddress"]
    )
    arguments = {
        "GrangeToken": (10**18,),
        "MarketExtension": (parameters,),
        "Market": (parameters, extension),
    }
    code = artifact(contract).creation_code(*arguments[contract])
    receipt = local.deploy(2, code)
    deployed = (len(local.ask("eth_getCode", receipt["contractAddress"], "latest")) - 2) // 2
    assert 0 < deployed <= MAX_CODE_BYTES
    assert len(code) <= MAX_CREATION_CODE_BYTES
    assert int(receipt["gasUsed"], 16) <= MAX_GAS
