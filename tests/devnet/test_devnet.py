"""A devnet looks the same whatever engine runs it, and nothing of it is left when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from grange.chain import Chain, MarketNotFound, Sender, TransactionReverted, Wallet, calls
from grange.chain.network_file import open_network, read_network, write_network
from grange.errors import Misuse
from grange.units import TOKEN
from grange_devnet import (
    ENGINES,
    Devnet,
    DevnetError,
    EngineFailed,
    EngineMissing,
    EngineName,
    PortTaken,
    engines,
)
from grange_devnet.engines import LIVE_ENGINES, missing_reason

DEADLINE_SECONDS = 20


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> EngineName:
    name: EngineName = request.param
    reason = missing_reason(name)
    if reason is not None:
        pytest.skip(str(reason))
    return name


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")


async def _gone(pid: int) -> bool:
    for _ in range(DEADLINE_SECONDS * 20):
        if not _alive(pid):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_every_engine_gives_the_same_devnet(engine: EngineName) -> None:
    async with Devnet.start(engine=engine, chain_id=4242) as devnet:
        wallet = Wallet.random()
        await devnet.faucet(wallet.address, 10**19, 7 * TOKEN)
        async with Chain.connect(devnet.rpc_url, devnet.market, expected_chain_id=4242) as chain:
            assert chain.token == devnet.token
            assert await chain.token_balance(wallet.address) == 7 * TOKEN
            assert await chain.native_balance(wallet.address) == 10**19
            before = (await chain.head()).number
            await devnet.mine(450)
            assert (await chain.head()).number == before + 450
            if engine not in LIVE_ENGINES:
                snapshot = await devnet.snapshot()
                await Sender(chain, wallet).send(calls.approve(devnet.market, 1))
                await devnet.revert(snapshot)
                assert await chain.token_allowance(wallet.address) == 0
                assert (await chain.head()).number == before + 450
                with pytest.raises(DevnetError, match="no snapshot"):
                    await devnet.revert("0x63")
            await devnet.mine_to_epoch(60, offset_blocks=3)
            head = await chain.head()
            assert (head.epoch, head.number) == (60, 603)
    assert await _gone(devnet.pid)


async def test_every_engine_makes_blocks_by_the_clock(engine: EngineName) -> None:
    async with Devnet.start(engine=engine, block_seconds=1.0) as devnet:
        wallet = Wallet.random()
        await devnet.faucet(wallet.address, 10**18, TOKEN)
        first = await devnet.chain.head()
        assert await devnet.chain.token_balance(wallet.address) == TOKEN
        for _ in range(100):
            if (await devnet.chain.head()).number > first.number:
                return
            await asyncio.sleep(0.05)
        pytest.fail("no block was made")


async def test_stop_ends_the_process(engine: EngineName) -> None:
    async with Devnet.start(engine=engine) as devnet:
        await devnet.stop()
        assert await _gone(devnet.pid)


async def test_nothing_outlives_a_parent_that_is_killed(engine: EngineName, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(f"""
            import asyncio
            from grange_devnet.engines import EngineOptions, run_engine

            async def main():
                async with run_engine(EngineOptions(engine={engine!r})) as running:
                    print(running.process.pid, running.url, flush=True)
                    await asyncio.Event().wait()

            asyncio.run(main())
        """)
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONWARNINGS": ""}
    )
    assert parent.stdout is not None
    pid_text, url = (await parent.stdout.readline()).decode().split()
    port = int(url.rsplit(":", 1)[1])
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    assert await _gone(int(pid_text))
    for _ in range(DEADLINE_SECONDS * 20):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
    pytest.fail("the chain still listens")


async def test_a_missing_engine_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRANGE_NODE_MODULES", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineMissing, match="npm install @foundry-rs/anvil"):
        async with Devnet.start(engine="anvil"):
            pass
    with pytest.raises(EngineMissing, match=r"npm install hardhat|Node"):
        async with Devnet.start(engine="hardhat"):
            pass


async def test_only_anvil_begins_with_a_later_block(engine: EngineName) -> None:
    if engine != "anvil":
        with pytest.raises(Misuse, match="begin with block 0"):
            async with Devnet.start(engine=engine, first_block=5_000):
                pass
        return
    async with Devnet.start(engine=engine, first_block=5_000) as devnet:
        assert 5_000 < (await devnet.chain.head()).number < 5_010


async def test_a_chain_that_does_not_serve_hashes_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardhat's has no history contract of its own; without ours no market is deployed there."""
    if missing_reason("hardhat") is not None:
        pytest.skip(str(missing_reason("hardhat")))
    monkeypatch.setattr("grange_devnet.devnet.RECENT_HASHES", "0x")
    with pytest.raises(TransactionReverted, match="BlockHashesNotServed"):
        async with Devnet.start(engine="hardhat"):
            pass


async def test_a_port_that_another_devnet_has_is_called_that() -> None:
    async with Devnet.start() as devnet:
        taken = int(devnet.rpc_url.rsplit(":", 1)[1])
        with pytest.raises(PortTaken, match=f"Port {taken} is taken, most likely by another devnet"):
            async with Devnet.start(port=taken):
                pass


async def test_an_engine_that_ends_instead_of_starting_shows_what_it_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "_check_port", lambda _: None)
    async with Devnet.start() as devnet:
        taken = int(devnet.rpc_url.rsplit(":", 1)[1])
        with pytest.raises(EngineFailed, match="ended instead of starting") as caught:
            async with Devnet.start(port=taken):
                pass
    assert str(taken) in caught.value.output


async def test_the_file_of_its_network_says_all_that_others_need(tmp_path: Path) -> None:
    async with Devnet.start() as devnet:
        write_network(tmp_path / "devnet.json", devnet.network)
        told = read_network(tmp_path / "devnet.json")
        assert told == devnet.network
        assert (told.chain_id, told.token) == (devnet.chain_id, devnet.token)
        code_at = [
            await devnet.chain.rpc.call("eth_getCode", devnet.market, hex(told.first_block + one))
            for one in (-1, 0)
        ]
        assert code_at[0] == "0x" != code_at[1]
        foreign = told.model_copy(update={"token": devnet.market})
        with pytest.raises(MarketNotFound, match="the market's token is"):
            async with open_network(foreign):
                pass
