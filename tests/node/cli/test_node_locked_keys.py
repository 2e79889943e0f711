"""Locked keys of a farm and of a repairer: what asks for the passphrase, what does not, how it is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from click.testing import Result
from test_node_devnet import funded, plan_for, registered
from typer.testing import CliRunner

from grange.chain import Wallet
from grange.chain.key_file import address_in_file, create_key, key_from_file
from grange.cli.exit_codes import ExitCode
from grange.keystore.passphrases import PassphraseNeeded, Passphrases
from grange_devnet import Devnet
from grange_node.cli import repair
from grange_node.cli.farm import app
from grange_node.cli.key_rotation import rotate_key
from grange_node.cli.registration import set_up
from grange_node.cli.repair_home import make_repair_key
from grange_node.config import load_address, load_key, load_or_create_key, write_private

PASSPHRASE = "correct horse battery staple"


def run(*arguments: object, of: Any = app, **options: Any) -> Result:
    return CliRunner().invoke(of, [str(argument) for argument in arguments], **options)


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    write_private(path, PASSPHRASE + "\n")
    return path


def test_a_key_is_made_locked_and_its_address_is_shown_without_the_passphrase(
    tmp_path: Path, passphrase_file: Path
) -> None:
    home = tmp_path / "home"
    made = run("address", "--home", home, "--passphrase-file", passphrase_file)
    assert (made.exit_code, made.stderr) == (0, ""), made.output
    assert made.stdout.strip() == load_address(home)
    assert PASSPHRASE not in (home / "operator.key").read_text()
    again = run("address", "--home", home)
    assert again.stdout == made.stdout
    assert load_key(home, Passphrases(files=[passphrase_file])).address == load_address(home)


def test_without_a_terminal_a_key_is_not_made_in_clear_unless_somebody_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    refused = run("address", "--home", home)
    assert refused.exit_code == ExitCode.SETUP
    assert "--passphrase-file" in refused.stderr
    assert "--no-encryption" in refused.stderr
    assert not (home / "operator.key").exists()
    made = run("address", "--home", home, "--no-encryption")
    assert (made.exit_code, made.stdout.strip()) == (0, load_address(home))
    assert "is kept in clear" in made.stderr
    assert f"grange farm encrypt-keys --home {home}" in made.stderr


def test_the_variable_names_a_file_and_a_passphrase_with_no_encryption_is_a_mistake(
    tmp_path: Path, passphrase_file: Path
) -> None:
    home, environment = tmp_path / "home", {"GRANGE_PASSPHRASE_FILE": str(passphrase_file)}
    both = run("address", "--home", home, "--no-encryption", env=environment)
    assert (both.exit_code, "not both" in both.output) == (ExitCode.USAGE, True)
    assert run("address", "--home", home, env=environment).exit_code == 0
    assert load_key(home, Passphrases(files=[passphrase_file])).address == load_address(home)


def test_keys_of_a_home_get_a_passphrase_another_and_none(tmp_path: Path, passphrase_file: Path) -> None:
    home, new = tmp_path / "home", tmp_path / "new"
    key, owner = load_or_create_key(home), Wallet.random()
    former = Wallet.random()
    write_private(home / "owner.key", owner.private_key.hex())
    write_private(home / "operator.key.old-12345678", former.private_key.hex())
    write_private(new, "another one")
    options = ("encrypt-keys", "--home", home)

    assert run(*options).exit_code == ExitCode.SETUP
    assert load_key(home).address == key.address
    locked = run(*options, "--passphrase-file", passphrase_file)
    assert locked.exit_code == 0, locked.output
    kept = (("operator.key", key), ("owner.key", owner), ("operator.key.old-12345678", former))
    for name, wallet in kept:
        assert str(home / name) in locked.stdout
        assert key_from_file(home / name, Passphrases(files=[passphrase_file])).address == wallet.address
    # Given twice, in a script, as at first: now it only opens.
    again = run(*options, "--passphrase-file", passphrase_file)
    assert (again.exit_code, "--new-passphrase-file" in again.stderr) == (ExitCode.SETUP, True), again.output
    wrong = run(*options, "--passphrase-file", new, "--new-passphrase-file", passphrase_file)
    assert (wrong.exit_code, "does not open" in wrong.stderr) == (ExitCode.SETUP, True)
    changed = run(*options, "--passphrase-file", passphrase_file, "--new-passphrase-file", new)
    assert changed.exit_code == 0, changed.output
    assert load_key(home, Passphrases(files=[new])).address == key.address
    clear = run(*options, "--passphrase-file", new, "--no-encryption")
    assert (clear.exit_code, load_key(home).address) == (0, key.address), clear.output


def test_one_key_that_does_not_open_leaves_all_as_they_were(tmp_path: Path, passphrase_file: Path) -> None:
    home = tmp_path / "home"
    key = load_or_create_key(home)
    create_key(home / "owner.key", "only the owner knows")
    before = (home / "owner.key").read_text()
    done = run("encrypt-keys", "--home", home, "--passphrase-file", passphrase_file)
    assert (done.exit_code, "owner.key" in done.stderr) == (ExitCode.SETUP, True)
    assert load_key(home).address == key.address
    assert (home / "owner.key").read_text() == before


def test_a_repairers_key_is_locked_in_the_same_way(tmp_path: Path, passphrase_file: Path) -> None:
    make_repair_key(tmp_path, lambda: None)
    whose = address_in_file(tmp_path / "repairer.key")
    done = run("encrypt-keys", "--home", tmp_path, "--passphrase-file", passphrase_file, of=repair.app)
    assert done.exit_code == 0, done.output
    status = run("status", "--json", "--home", tmp_path, of=repair.app)
    assert (status.exit_code, whose in status.stdout) == (0, True), status.output
    with pytest.raises(PassphraseNeeded):
        key_from_file(tmp_path / "repairer.key")


@pytest.mark.parametrize("of", [app, repair.app], ids=["farm", "repair"])
def test_a_home_without_a_key_says_how_one_is_made(tmp_path: Path, of: Any) -> None:
    done = run("encrypt-keys", "--home", tmp_path, of=of)
    assert (done.exit_code, "Make one with: grange" in done.stderr) == (ExitCode.SETUP, True), done.output


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
async def test_a_rotated_key_is_locked_as_the_old_one(
    devnet: Devnet, tmp_path: Path, passphrase_file: Path
) -> None:
    """And so is the owner's, which is kept."""
    config, home = await registered(devnet, tmp_path), tmp_path / "home"
    given = Passphrases(files=[passphrase_file])
    owner = load_key(home)
    locked = run("encrypt-keys", "--home", home, "--passphrase-file", passphrase_file)
    assert locked.exit_code == 0, locked.output
    done = await rotate_key(home, config, owner, passphrases=given)
    assert done.kept == home / "owner.key"
    for name, address in (("operator.key", done.operator), ("owner.key", owner.address)):
        assert key_from_file(home / name, given).address == address
        with pytest.raises(PassphraseNeeded):
            key_from_file(home / name)
    # And init finds its farmer, though it may not look into the owner's key.
    again = await set_up(home, plan_for(devnet, tmp_path), passphrases=given)
    assert (again.registered_now, again.config.farmer) == (False, config.farmer)


@pytest.mark.asyncio(loop_scope="module")
async def test_init_asks_for_a_passphrase_by_the_chain_that_it_found(devnet: Devnet, tmp_path: Path) -> None:
    """The chain says whether it is a devnet, where nobody is asked."""
    asked = []

    def choose(chain_id: int) -> str | None:
        asked.append(chain_id)
        return PASSPHRASE

    home = tmp_path / "home"
    with pytest.raises(PassphraseNeeded):
        await set_up(home, plan_for(devnet, tmp_path), choose=choose)
    assert asked == [devnet.chain.chain_id]
    write_private(tmp_path / "file", PASSPHRASE)
    given = Passphrases(files=[tmp_path / "file"])
    await funded(devnet, load_key(home, given))
    done = await set_up(home, plan_for(devnet, tmp_path), passphrases=given, choose=choose)
    assert (done.operator, asked) == (load_address(home), [devnet.chain.chain_id])
