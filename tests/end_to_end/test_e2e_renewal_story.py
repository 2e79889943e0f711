"""The renewal story of the demo as a test: an order lives on by a mandate, a cap stops a device, and a
farmer hands over all that it keeps and leaves."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from e2e_tree import plain_file
from rich.console import Console

from grange_devnet.engines import EngineName, Hardfork
from stories.renewal import RENEWALS, Renewal
from stories.tale import Setting

SIZE_BYTES = 3_000_000


@pytest.mark.long
@pytest.mark.parametrize("hardfork", ["prague", "osaka"])
async def test_an_order_lives_on_without_its_renter(
    engine: EngineName, hardfork: Hardfork, tmp_path: Path
) -> None:
    if hardfork != "prague" and engine != "anvil":
        pytest.skip("only anvil has these rules")
    source = tmp_path / "source"
    source.mkdir()
    plain_file(source / "one.bin", SIZE_BYTES, seed=1)
    said = io.StringIO()
    setting = Setting(folder=tmp_path / "story", engine=engine, hardfork=hardfork, directory=source)
    setting.folder.mkdir()
    outcome = await Renewal(setting, Console(file=said, width=100)).play()
    assert outcome.held, "\n".join([*outcome.failures, said.getvalue()])
    shown = outcome.as_json()
    assert shown["renewals"] == RENEWALS
    assert shown["delegate_stopped_by_cap"] is shown["identical"] is True
    assert shown["renter_online_during_renewals"] is False
    assert shown["handed_over_slots"] == outcome.handed_over > 0
