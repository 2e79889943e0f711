"""A farm starts only on the folder with its data, and writes to no other while it runs."""

import errno
import json
import logging
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import Result
from node_support import OPERATOR, Farm, config_for, error_of, open_farm, parcel
from typer.testing import CliRunner

from grange.cli.exit_codes import ExitCode
from grange.errors import Category
from grange_node.cli.farm import app
from grange_node.config import DAMAGED_PIECES_NAME, KEY_NAME, LEDGER_NAME, Config, save_config, write_private
from grange_node.errors import ConfigInvalid, StoreFailed, VolumeMissing
from grange_node.pieces.volume import (
    EXPECTED_NAME,
    GONE_TIMEOUT_SECONDS,
    MARKER_NAME,
    begin_volume,
    find_volume,
    missing_volume,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    write_private(folder / KEY_NAME, OPERATOR.private_key.hex())
    return folder


@pytest.fixture
def config(home: Path, tmp_path: Path) -> Config:
    """A farm that was set up on a folder of its own."""
    made = config_for(tmp_path / "data")
    save_config(home, made)
    begin_volume(home, made)
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def unmount(config: Config) -> Path:
    """Put the disk out of reach: what is left is the empty folder on which it was mounted."""
    away = config.data_folder.with_name("away")
    config.data_folder.rename(away)
    config.data_folder.mkdir()
    return away


def mount(config: Config, away: Path) -> None:
    config.data_folder.rmdir()
    away.rename(config.data_folder)


# At the start.


def test_an_empty_mount_point_is_not_taken_for_a_loss(home: Path, config: Config) -> None:
    unmount(config)
    done = run("run", "--home", home)
    assert done.exit_code == ExitCode.FILES
    assert "not mounted" in done.stderr
    assert "--begin-again" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(config.data_folder.iterdir()) == []


def test_a_mount_point_that_is_gone_is_not_made(home: Path, config: Config) -> None:
    shutil.rmtree(config.data_folder)
    with pytest.raises(VolumeMissing, match="no such folder"):
        find_volume(home, config)
    assert not config.data_folder.exists()


def test_it_is_found_again_once_it_is_mounted(home: Path, config: Config) -> None:
    away = unmount(config)
    with pytest.raises(VolumeMissing):
        find_volume(home, config)
    mount(config, away)
    assert find_volume(home, config).is_there()


def test_another_disk_is_not_taken_for_it(home: Path, config: Config, tmp_path: Path) -> None:
    unmount(config)
    other = tmp_path / "other"
    other.mkdir()
    begin_volume(other, config)
    with pytest.raises(VolumeMissing, match="another volume"):
        find_volume(home, config)


def test_one_is_begun_on_when_told_to_and_stays(home: Path, config: Config) -> None:
    unmount(config)
    assert find_volume(home, config, begin_again=True).is_there()
    assert find_volume(home, config).is_there()


def test_the_data_may_move_to_another_folder(home: Path, config: Config, tmp_path: Path) -> None:
    config.data_folder.rename(tmp_path / "larger")
    moved = config.model_copy(update={"data_folder": tmp_path / "larger"})
    assert find_volume(home, moved).is_there()


def test_another_farms_folder_is_refused_whatever_is_said(home: Path, config: Config, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    theirs = config.model_copy(update={"farmer_id": 8})
    for begin_again in (False, True):
        with pytest.raises(ConfigInvalid, match="farmer 7"):
            find_volume(other, theirs, begin_again=begin_again)


@pytest.mark.parametrize("trace", [LEDGER_NAME, "slots"])
def test_a_farm_from_before_the_marker_gets_one_where_its_data_are(
    home: Path, tmp_path: Path, trace: str
) -> None:
    config = config_for(tmp_path / "data")
    config.data_folder.mkdir()
    with pytest.raises(VolumeMissing):
        find_volume(home, config)
    (config.data_folder / trace).mkdir()
    assert find_volume(home, config).is_there()
    assert (config.data_folder / MARKER_NAME).exists()


def test_a_home_that_was_restored_knows_its_disk_by_the_marker(home: Path, config: Config) -> None:
    (home / EXPECTED_NAME).unlink()
    assert find_volume(home, config).is_there()
    unmount(config)
    with pytest.raises(VolumeMissing):
        find_volume(home, config)


def test_setting_up_again_does_not_begin_again(home: Path, config: Config) -> None:
    unmount(config)
    begin_volume(home, config)
    assert list(config.data_folder.iterdir()) == []


def test_status_says_that_the_disk_is_not_mounted(home: Path, config: Config) -> None:
    assert missing_volume(home, config) is None
    unmount(config)
    done = run("status", "--home", home, "--json")
    assert done.exit_code == 0
    assert "mounted" in json.loads(done.stdout)["data_error"]
    assert "mounted" in run("status", "--home", home).stdout


def test_status_says_what_to_do_about_a_damaged_ledger(home: Path, config: Config) -> None:
    (config.data_folder / LEDGER_NAME).write_bytes(b"garbage" * 1000)
    done = run("status", "--home", home)
    assert done.exit_code == 3
    assert "Move it away" in done.stderr
    assert "Traceback" not in done.stderr
    (config.data_folder / LEDGER_NAME).unlink()
    (config.data_folder / DAMAGED_PIECES_NAME).write_bytes(b"garbage" * 1000)
    assert run("status", "--home", home).exit_code == 0


async def test_a_data_folder_that_cannot_be_opened_ends_in_words(config: Config) -> None:
    """As on a disk that is mounted read-only."""
    (config.data_folder / "lock").mkdir()
    with pytest.raises(StoreFailed, match=str(config.data_folder)) as caught:
        async with open_farm(config.data_folder):
            pass
    assert caught.value.category is Category.FILES


# While it runs.


@pytest.fixture
async def running(home: Path, config: Config) -> AsyncIterator[Farm]:
    """A farm on its volume, that keeps a slot; its loops stand still."""
    async with open_farm(config.data_folder, volume=find_volume(home, config)) as farm:
        await farm.keep(parcel())
        yield farm


async def test_nothing_is_written_where_the_disk_was(
    running: Farm, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    away = unmount(config)
    await running.node.look_at_disk()
    await running.node.look_at_disk()
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1
    assert "mounted" in told[0].getMessage()
    assert error_of(await running.put(parcel(seed=1), 0)) == "store_failed"
    assert (await running.get(parcel())).status_code == 500
    with pytest.raises(StoreFailed):
        await running.node.self_repairer.tick()
    assert running.node.damaged_pieces.all() == []
    assert list(config.data_folder.iterdir()) == []
    mount(config, away)
    await running.node.look_at_disk()
    assert (await running.get(parcel())).status_code == 200


async def test_the_farm_ends_when_its_disk_stays_away(running: Farm, config: Config) -> None:
    unmount(config)
    await running.node.look_at_disk()
    running.clock.set_ahead(10 * GONE_TIMEOUT_SECONDS)
    await running.node.look_at_disk()
    running.clock.set_ahead(-20 * GONE_TIMEOUT_SECONDS)
    running.clock.now += GONE_TIMEOUT_SECONDS - 1
    await running.node.look_at_disk()
    running.clock.now += 1
    with pytest.raises(VolumeMissing):
        await running.node.look_at_disk()


async def test_the_farm_ends_when_its_ledger_is_another_file(running: Farm, config: Config) -> None:
    await running.node.look_at_disk()
    (config.data_folder / LEDGER_NAME).unlink()
    with pytest.raises(VolumeMissing, match="Start the farm again"):
        await running.node.look_at_disk()


async def test_a_marker_that_cannot_be_read_is_no_missing_disk(running: Farm, config: Config) -> None:
    (config.data_folder / MARKER_NAME).write_bytes(b"\xff\x00garbage")
    await running.node.look_at_disk()
    running.clock.now += 2 * GONE_TIMEOUT_SECONDS
    await running.node.look_at_disk()
    assert (await running.put(parcel(seed=1), 0)).status_code == 201


async def test_a_farm_from_before_the_marker_starts_on_a_full_disk(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tmp_path / "data")
    (config.data_folder / "slots").mkdir(parents=True)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("grange_node.pieces.volume.write_private", full)
        assert find_volume(home, config).is_there()
    assert find_volume(home, config).is_there()
    assert (config.data_folder / MARKER_NAME).exists()
