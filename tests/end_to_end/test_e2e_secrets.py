"""No secret in a command line, an environment, an output, a log or a file that others can read: farm, renter,
repairer and a device with locked keys, in good days and in bad ones."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from e2e_command import COMMAND_SECONDS, GRANGE, Ran
from e2e_town import eventually
from e2e_tree import plain_file

from grange.chain.key_file import key_from_file
from grange.chain.network_file import write_network
from grange.cli.exit_codes import ExitCode
from grange.keystore.passphrases import Passphrases
from grange.types import Address
from grange_client.keys.config import load
from grange_client.keys.recovery_phrase import identity, new_phrase
from grange_devnet import Devnet
from grange_devnet.engines import EngineName
from grange_devnet.fleet import Fleet

FARMERS = 2
PASSPHRASE = "known to all tests 7f3a"
WRONG = "not the passphrase 55c1"
DEVICE_PASSPHRASE = "of the device e04b"
LOOK_SECONDS = 0.02
TEST_SECONDS = 900
"""Most of its commands open a key with scrypt: that takes minutes on a machine that is busy."""

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Watch:
    """Runs commands, and keeps all that another person on this computer could have seen of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: dict[str, bytes] = {}
        self._number = 0

    async def _look(self, name: str, process: asyncio.subprocess.Process) -> None:
        """At the command line and the environment of a process and its children, while it runs."""
        while process.returncode is None:
            for pid in (process.pid, *_children(process.pid)):
                for file in ("cmdline", "environ"):
                    with suppress(OSError):
                        # Of one that has just ended there is nothing left to read.
                        if content := _read(f"/proc/{pid}/{file}"):
                            self.seen[f"{name}: {file} of {pid}"] = content
            await asyncio.sleep(LOOK_SECONDS)

    @asynccontextmanager
    async def running(self, *arguments: object, typed: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
        """A command, its output kept; ended at the end if it runs still."""
        self._number += 1
        name = f"{self._number} {' '.join(map(str, arguments[:3]))}"
        log = self.folder / f"{self._number}.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GRANGE_")}
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                GRANGE,
                *map(str, arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=environment | {"COLUMNS": "200", "NO_COLOR": "1"},
            )
        looking = asyncio.create_task(self._look(name, process))
        try:
            assert process.stdin is not None
            process.stdin.write(typed.encode())
            process.stdin.close()
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
            await looking
            self.seen[f"{name}: output"] = log.read_bytes()
            log.unlink()

    async def run(self, *arguments: object, typed: str = "") -> Ran:
        """A command to its end."""
        async with self.running(*arguments, typed=typed) as process, asyncio.timeout(COMMAND_SECONDS):
            code = await process.wait()
        return Ran(code=code, out=list(self.seen.values())[-1].decode(), err="")


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def forms(secret: bytes) -> Iterator[bytes]:
    """As it is, and as people write it."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()


def files_of(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.mark.timeout(TEST_SECONDS)
async def test_nobody_else_sees_a_secret(engine: EngineName, tmp_path: Path) -> None:
    homes, given, shown = tmp_path / "homes", tmp_path / "given", tmp_path / "shown"
    for folder in (homes, given, shown):
        folder.mkdir(mode=0o700)
    right, wrong, device = (given / name for name in ("right", "wrong", "device"))
    for path, text in ((right, PASSPHRASE), (wrong, WRONG), (device, DEVICE_PASSPHRASE)):
        path.write_text(text + "\n")
        path.chmod(0o600)
    opened = ("--passphrase-file", right)
    watch, phrase = Watch(shown), new_phrase()
    async with (
        Devnet.start(engine=engine) as devnet,
        Fleet.start(devnet, FARMERS, tmp_path / "fleet"),
    ):
        network = tmp_path / "network.json"
        write_network(network, devnet.network)
        async with (
            farm(watch, devnet, network, homes / "farm", opened),
            repairer(watch, network, homes / "repairer", opened),
        ):
            await renter(watch, devnet, network, homes, phrase, given)
    passphrases = Passphrases(files=[right, device])
    secrets = [PASSPHRASE.encode(), WRONG.encode(), DEVICE_PASSPHRASE.encode()]
    words = phrase.split()
    secrets += [" ".join(words[n : n + 3]).encode() for n in range(len(words) - 2)]
    for who in (identity(phrase), load(homes / "device", passphrases).identity):
        secrets += [*forms(who.wallet.private_key), *forms(who.secret.secret)]
    for name in ("farm/operator.key", "repairer/repairer.key"):
        secrets += forms(key_from_file(homes / name, passphrases).private_key)

    # What is no secret is seen in all places.
    for where, plain in (("cmdline", b"of the device"), ("environ", b"NO_COLOR"), ("output", b"Traceback")):
        assert any(plain in content for name, content in watch.seen.items() if where in name), where
    for where, content in watch.seen.items():
        for secret in secrets:
            assert secret not in content, where
    locked = [path for path in homes.rglob("*") if path.suffix == ".key" or path.name in LOCKED]
    assert len(locked) == 4
    for path in files_of(homes):
        content = path.read_bytes()
        for secret in secrets:
            assert secret not in content, path
    for path in (*locked, homes / "laptop"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


LOCKED = ("recovery.txt", "delegate.json")


@asynccontextmanager
async def farm(
    watch: Watch, devnet: Devnet, network: Path, home: Path, opened: tuple[object, ...]
) -> AsyncIterator[None]:
    """A farm as its guide sets it up, which starts only with its passphrase."""
    address = await watch.run("farm", "address", "--home", home, *opened)
    assert address.code == 0, address
    await devnet.faucet(Address(address.out.split()[-1]), native=10**19, tokens=10**21)
    terms = ("--stake", 500, "--price", 1, "--capacity", "1GB", "--endpoint", "http://127.0.0.1:0")
    place = ("--network", network, "--data", home / "data", "--home", home)
    made = await watch.run("farm", "init", *terms, *place, *opened)
    assert made.code == 0, made
    status = await watch.run("farm", "status", "--home", home)
    assert status.code == 0, status
    for options in ((), ("--passphrase-file", home.parent.parent / "given" / "wrong")):
        refused = await watch.run("farm", "run", "--home", home, *options)
        assert refused.code == ExitCode.SETUP, refused
        assert "operator.key" in refused.out
    ready = home / "ready"
    running = watch.running("farm", "run", "--announce", "--home", home, "--ready-file", ready, *opened)
    async with running as process:

        async def is_ready() -> bool:
            assert process.returncode is None
            return ready.exists()

        await eventually(is_ready, "the farm serves")
        yield


@asynccontextmanager
async def repairer(
    watch: Watch, network: Path, home: Path, opened: tuple[object, ...]
) -> AsyncIterator[None]:
    made = await watch.run("repair", "init", "--network", network, "--home", home, *opened)
    assert made.code == 0, made
    ready = home / "ready"
    async with watch.running("repair", "run", "--home", home, "--ready-file", ready, *opened) as process:

        async def is_ready() -> bool:
            assert process.returncode is None
            return ready.exists()

        await eventually(is_ready, "the repairer is at work")
        yield


async def renter(  # noqa: PLR0917
    watch: Watch, devnet: Devnet, network: Path, homes: Path, phrase: str, given: Path
) -> None:
    """Stores with all farms, makes a device that stores too, and gets much wrong, with tracebacks."""
    home, device, laptop = homes / "home", homes / "device", homes / "laptop"
    opened, mine = ("--passphrase-file", given / "right"), ("--home", home)
    made = await watch.run("init", "--phrase", "--network", network, *mine, *opened, typed=phrase + "\n")
    assert made.code == 0, made
    await devnet.faucet(identity(phrase).wallet.address, native=10**19, tokens=10**21)
    source = plain_file(homes.parent / "file.bin", 100_000, seed=51)
    code = ("--k", 1, "--n", 3, "--yes", "--verbose")
    put = await watch.run("orders", "put", source, *code, *mine, *opened)
    assert put.code == 0, put
    for words in (("balance",), ("farmers",), ("orders", "ls"), ("orders", "health")):
        # Nothing of these needs a key, as long as names are known.
        looked = await watch.run(*words, "--verbose", *mine)
        assert looked.code == 0, looked
    assert (await watch.run("deposit", 100, *mine, *opened)).code == 0
    limits = ("--per-epoch", 50, "--in-all", 50, "--epochs", 90)
    locked = ("--device-passphrase-file", given / "device")
    new = await watch.run("keys", "delegate", "new", laptop, *limits, *locked, *mine, *opened)
    assert new.code == 0, new
    unlocked, there = ("--passphrase-file", given / "device"), ("--home", device)
    taken = await watch.run("init", "--delegate", laptop, *there, *unlocked)
    assert taken.code == 0, taken
    file = json.loads((device / "delegate.json").read_text())
    await devnet.faucet(Address(f"0x{file['address']}"), native=10**19)
    stored = await watch.run("orders", "put", source, "--name", "of the device", *code, *there, *unlocked)
    assert stored.code == 0, stored
    got = await watch.run("orders", "get", "of the device", homes.parent / "back", "--yes", *there, *unlocked)
    assert got.code == 0, got
    nothing, false = ("--verbose",), ("--verbose", "--passphrase-file", given / "wrong")
    for words, status in (
        (("orders", "put", source, *code, *mine), ExitCode.SETUP),
        (("orders", "get", "file.bin", homes.parent / "no", "--yes", *there), ExitCode.SETUP),
        (("keys", "card", *mine), ExitCode.SETUP),
    ):
        for options in (nothing, false):
            refused = await watch.run(*words, *options)
            assert refused.code == status, refused
    spoilt = homes.parent / "spoilt"
    spoilt.mkdir()
    (spoilt / "config.json").write_bytes((home / "config.json").read_bytes())
    for text in (phrase + " zoo", phrase[:-1], (home / "recovery.txt").read_text()[:300]):
        (spoilt / "recovery.txt").write_text(text)
        (spoilt / "recovery.txt").chmod(0o600)
        refused = await watch.run("orders", "ls", "--verbose", "--home", spoilt, *opened)
        assert refused.code == ExitCode.SETUP, refused
    typed = await watch.run(
        "init", "--phrase", "--network", network, "--home", spoilt / "x", "--verbose", typed=phrase[:-4]
    )
    assert typed.code == ExitCode.SETUP, typed
