"""What an endpoint is asked for an epoch's seed, and what is made of its answers."""

from dataclasses import replace

import pytest
from fake_chain import FakeChain, unconnected
from market_rules import PARAMETERS

from grange.chain.market import MarketClient
from grange.chain.wallet import Wallet
from grange.messages import Domain
from grange.seeds import SEED_STEP_BLOCKS, SERVED_BLOCKS
from grange.types import Address, Epoch, Parameters

DOMAIN = Domain(chain_id=1, market=Address("0x" + "11" * 20))
LONG = replace(PARAMETERS, epoch_blocks=16_000)
EPOCH = Epoch(1)


class Endpoint(FakeChain, MarketClient):
    """Shows blocks, and the seeds that were recorded."""

    def __init__(self, rules: Parameters) -> None:
        FakeChain.__init__(self, rules)
        MarketClient.__init__(self, unconnected(DOMAIN, Wallet(b"\1" * 32), rules))
        self.recorded: dict[Epoch, bytes] = {}
        self.questions: list[str] = []

    async def seed(self, epoch: Epoch) -> bytes | None:
        self.questions.append("seed")
        return self.recorded.get(epoch)


async def test_in_short_epochs_it_is_the_first_blocks_hash_and_the_market_is_not_asked() -> None:
    endpoint = Endpoint(PARAMETERS)
    endpoint.mine(PARAMETERS.epoch_blocks + 3)
    assert await endpoint.audit_seed(EPOCH) == endpoint.blocks[PARAMETERS.epoch_blocks].hash
    assert await endpoint.audit_seed(Epoch(2)) is None
    assert endpoint.questions == []


@pytest.mark.parametrize(
    ("newest", "given_by"),
    [
        (0, 0),
        (SERVED_BLOCKS - 1, 0),
        (SERVED_BLOCKS, SEED_STEP_BLOCKS),
        (SERVED_BLOCKS + SEED_STEP_BLOCKS - 1, SEED_STEP_BLOCKS),
        (SERVED_BLOCKS + SEED_STEP_BLOCKS, 2 * SEED_STEP_BLOCKS),
        (LONG.epoch_blocks - 1, 2 * SEED_STEP_BLOCKS),
        (2 * LONG.epoch_blocks, 2 * SEED_STEP_BLOCKS),
    ],
)
async def test_of_a_long_epoch_it_is_what_the_next_block_would_record(newest: int, given_by: int) -> None:
    endpoint = Endpoint(LONG)
    first = LONG.epoch_blocks
    endpoint.mine(first + newest + 1)
    assert await endpoint.audit_seed(EPOCH) == endpoint.blocks[first + given_by].hash


async def test_what_is_recorded_is_the_seed_whatever_the_blocks_say() -> None:
    endpoint = Endpoint(LONG)
    endpoint.mine(LONG.epoch_blocks + SERVED_BLOCKS + 10)
    endpoint.recorded[EPOCH] = b"\7" * 32
    assert await endpoint.audit_seed(EPOCH) == b"\7" * 32


async def test_a_long_epoch_that_has_not_begun_has_no_seed() -> None:
    endpoint = Endpoint(LONG)
    endpoint.mine(LONG.epoch_blocks)
    assert endpoint.height < LONG.epoch_blocks
    assert await endpoint.audit_seed(EPOCH) is None
