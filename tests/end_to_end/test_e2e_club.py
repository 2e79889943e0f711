"""A club's market on a chain of its own, by the commands of docs/club.md: deployed, used, stopped, started
again from what the chain's program has kept, and used by one more member.

With anvil, and with geth where it is on the PATH. Commands are read out of the document; only ports, folders,
seconds between blocks and the preset are others, so that an epoch is ten seconds.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e_command import Ran, grange
from e2e_town import eventually
from e2e_tree import odd_tree

from grange.chain import Chain, Timeouts
from grange.chain.errors import ChainUnavailable, RpcError
from grange.chain.network_file import read_network
from grange.chain.rpc import Rpc
from grange.types import Address, FarmerId
from grange_devnet.engines import EngineMissing, missing_reason, node_modules
from grange_devnet.fleet import FarmerProcess
from stories.compare import differences

DOCUMENT = Path(__file__).parents[2] / "docs" / "club.md"
SECONDS = 60.0
"""A farm proves once in ten seconds, and some machines are slow."""
pytestmark = pytest.mark.asyncio(loop_scope="session")


def documented(beginning: str) -> str:
    """The one command of the document that begins so."""
    lines = [line.strip() for line in DOCUMENT.read_text().splitlines() if line.startswith("    ")]
    (found,) = [line for line in lines if line.startswith(beginning)]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What makes the blocks: its folder, its port, and how it is started."""

    name: str
    binary: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def kept(self) -> str:
        """What the chain is kept in while nothing runs."""
        return "chain" if self.name == "geth" else "chain.json"

    def command(self) -> list[str]:
        """The document's, with a port of ours, a block each second, and caches for a small machine."""
        if self.name == "geth":
            words = shlex.split(documented("geth --dev --datadir"))
            words += ["--cache", "128", "--port", "0", "--authrpc.port", "0", "--ipcdisable"]
        else:
            words = shlex.split(documented("anvil --host"))
        for option, value in (("--http.port", self.port), ("--port", self.port), ("--dev.period", 1)):
            if option in words and words[words.index(option) + 1] in {"8545", "12"}:
                words[words.index(option) + 1] = str(value)
        if "--block-time" in words:
            words[words.index("--block-time") + 1] = "1"
        return [str(self.binary), *words[1:]]

    async def prepare(self, account: Address) -> None:
        """geth's first block, by the document's two commands."""
        if self.name != "geth":
            return
        for line in (documented("geth --dev dumpgenesis"), documented("geth init")):
            text = line.replace("ACCOUNT", account.removeprefix("0x")).replace("geth ", f"{self.binary} ", 1)
            process = await asyncio.create_subprocess_shell(
                text, cwd=self.folder, stderr=asyncio.subprocess.PIPE
            )
            _, said = await process.communicate()
            assert process.returncode == 0, said.decode()

    @asynccontextmanager
    async def running(self, account: Address) -> AsyncIterator[Rpc]:
        """The chain, until it is told to end, and has."""
        with (self.folder / "chain.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self.command(), cwd=self.folder, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            async with Rpc(self.url, Timeouts(request_seconds=10.0, retries=0)) as rpc:
                await eventually(lambda: _answers(rpc), "the chain answers")
                if self.name == "anvil" and not (self.folder / self.kept).exists():
                    said = json.loads(shlex.split(documented("curl "))[4])
                    await rpc.call(said["method"], account, said["params"][1])
                yield rpc
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), SECONDS)


async def _answers(rpc: Rpc) -> bool:
    try:
        return int(await rpc.call("eth_blockNumber"), 16) > 0
    except (ChainUnavailable, RpcError):
        return False


@pytest.fixture(params=["anvil", "geth"])
def program(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv("GRANGE_PRIVATE_FARMERS", "1")
    reason = missing_reason(request.param)
    if reason is not None:
        pytest.skip(str(reason))
    if request.param == "geth" and shutil.which("jq") is None:
        pytest.skip("docs/club.md makes geth's first block with jq")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Program(name=request.param, binary=_binary(request.param), folder=tmp_path, port=port)


def _binary(name: str) -> Path:
    on_path = shutil.which(name)
    for folder in node_modules() if on_path is None else ():
        for found in folder.glob(f"@foundry-rs/{name}-*/bin/{name}"):
            return found
    if on_path is None:
        raise EngineMissing(name, name, "")
    return Path(on_path)


class Club:
    """Its account, its file, and its members. All keys are in clear: what is locked is tested elsewhere."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.key, self.file = folder / "club.key", folder / "club.json"

    async def account(self) -> Address:
        made = await grange("market", "address", "--key-file", self.key, "--no-encryption")
        again = await grange("market", "address", "--key-file", self.key)
        assert (made.code, made.out) == (0, again.out), made
        return Address(made.out.strip())

    async def deploy(self) -> None:
        words = self._words(documented("grange market deploy"))
        words[words.index("mainnet")] = "test"
        words[words.index("--rpc") + 1] = self.url
        made = await grange(*words, "--yes")
        assert made.code == 0, made
        assert (await grange(*self._words(documented("grange market verify")))).code == 0

    async def give(self, *addresses: str) -> Ran:
        words = self._words(documented("grange market give"))
        where = words.index("ADDRESS")
        given = await grange(*words[:where], *addresses, *words[where + 1 :], "--yes", "--json")
        assert [one["address"] for one in given.json] == list(addresses)
        return given

    @asynccontextmanager
    async def farmer(self, number: int) -> AsyncIterator[FarmerProcess]:
        """Set up by commands, and running."""
        folder = self.folder / f"farmer-{number}"
        home = folder / "home"
        folder.mkdir()
        shown = await grange("farm", "address", "--home", home, "--no-encryption")
        await self.give(shown.out.strip())
        words = self._words(documented("grange farm init"))
        for option, value in (
            ("--data", folder / "data"),
            ("--capacity", "1GB"),
            ("--endpoint", "http://127.0.0.1:0"),
        ):
            words[words.index(option) + 1] = str(value)
        made = await grange(*words, "--home", home)
        assert made.code == 0, made
        process = FarmerProcess(number=number, folder=folder, address=Address(shown.out.strip()))
        assert process.home == home
        try:
            await process.start()
            yield process
        finally:
            await process.stop()

    async def renter(self, name: str) -> Path:
        home = self.folder / name
        made = await grange(*self._words(documented("grange init")), "--home", home, "--no-encryption")
        assert made.code == 0, made
        await self.give((await grange("balance", "--address", "--home", home)).out.strip())
        return home

    def _words(self, line: str) -> list[str]:
        files = {"club.key": str(self.key), "club.json": str(self.file)}
        return [files.get(word, word) for word in shlex.split(line)[1:]]


async def proven(club: Club, farmer: FarmerId) -> int:
    """How many epochs it has proven."""
    network = read_network(club.file)
    async with Chain.connect(network.rpc, network.market) as chain:
        return int((await chain.farmer(farmer)).epochs_proven)


async def goes_on_proving(club: Club, farmer: FarmerId) -> None:
    before = await proven(club, farmer)

    async def once_more() -> bool:
        return await proven(club, farmer) > before

    await eventually(once_more, f"farmer {farmer} proves", SECONDS)


async def put(home: Path, source: Path, *, n: int) -> None:
    stored = await grange(
        "orders", "put", source, "--yes", "--k", 1, "--n", n, "--epochs", 8, "--json", "--home", home
    )
    assert stored.json["n"] == n


async def gets_back(home: Path, source: Path, folder: Path) -> None:
    got = await grange("orders", "get", source.name, folder, "--yes", "--json", "--home", home)
    assert got.code == 0, got
    assert differences(source, folder / source.name) == []


@pytest.mark.timeout(900)
async def test_a_clubs_chain_is_stopped_and_goes_on_from_what_it_kept(
    program: Program, tmp_path: Path
) -> None:
    """Deploy, farm, store; stop the chain and copy it; from the copy proofs go on, what was stored comes back
    byte for byte, a member joins, and more is stored."""
    club = Club(tmp_path, program.url)
    account = await club.account()
    await program.prepare(account)
    source, later = odd_tree(tmp_path / "source", seed=21), odd_tree(tmp_path / "later", seed=22)
    async with AsyncExitStack() as members:
        async with program.running(account):
            await club.deploy()
            farmers = [await members.enter_async_context(club.farmer(number)) for number in (1, 2)]
            home = await club.renter("renter")
            await put(home, source, n=2)
            await goes_on_proving(club, farmers[0].farmer)
        away = await grange("orders", "get", source.name, tmp_path / "none", "--home", home)
        assert away.code != 0, "the chain stands still"
        kept, copy = tmp_path / program.kept, tmp_path / "copy"
        kept.rename(copy)
        (shutil.copytree if copy.is_dir() else shutil.copy2)(copy, kept)
        async with program.running(account):
            for farmer in farmers:
                await goes_on_proving(club, farmer.farmer)
            await gets_back(home, source, tmp_path / "back")
            joined = await members.enter_async_context(club.farmer(3))
            await put(home, later, n=3)
            await gets_back(home, later, tmp_path / "back later")
            await goes_on_proving(club, joined.farmer)
            assert (await grange(*club._words(documented("grange market verify")))).code == 0
