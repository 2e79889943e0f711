"""The year's story of the demo as a test: a folder is backed up by cron alone, farmers come and go, two
months go by with nobody there, and versions come back as they were, for less than two copies' rent."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from grange_devnet.engines import EngineName
from stories.tale import Setting
from stories.year import Year
from stories.year_outcome import MAX_RATIO
from stories.year_timetable import YEAR

TEST_SECONDS = 3 * 3600


@pytest.mark.long
@pytest.mark.timeout(TEST_SECONDS)
async def test_a_folder_lives_through_a_year_that_nobody_looks_after(
    engine: EngineName, tmp_path: Path
) -> None:
    if engine != "py-evm":
        pytest.skip("sixty backups are made once")
    said = io.StringIO()
    setting = Setting(folder=tmp_path / "story", engine=engine, directory=None)
    setting.folder.mkdir()
    outcome = await Year(setting, Console(file=said, width=100)).play()
    assert outcome.held, "\n".join([*outcome.failures, said.getvalue()])
    shown = outcome.as_json()
    assert shown["identical"] is True
    assert shown["versions_restored"] == len(YEAR.restored)
    assert 0 < outcome.sent_bytes < outcome.total_bytes / 10
    assert outcome.orders_live > 0
    assert 1 < outcome.cost_ratio < MAX_RATIO
