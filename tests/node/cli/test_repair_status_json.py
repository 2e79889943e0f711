"""What `grange repair status` prints."""

import json
from pathlib import Path

from typer.testing import CliRunner

from grange.chain.endpoint_notes import ENDPOINTS_NAME, EndpointNotes
from grange.token_unit import PLAIN_UNIT
from grange.types import Epoch, FarmerId, OrderId
from grange.units import TOKEN
from grange_node.cli.repair import app, summary
from grange_node.cli.repair_home import make_repair_key
from grange_node.repair.jobs import Job, Outcome


def test_amounts_are_strings() -> None:
    """As numbers, most readers of JSON would round them to 53 bits."""
    job = Job(
        order=OrderId(bytes(32)),
        takers={0: FarmerId(1)},
        tenures={0: Epoch(3)},
        begun_block=5,
        outcome=Outcome.REFILLED,
        bounty=TOKEN + 1,
        paid=TOKEN + 3,
    )
    shown = json.loads(json.dumps(summary("0x1", PLAIN_UNIT, [], [job, job])))
    assert shown["bounty"] == str(2 * TOKEN + 2)
    assert [(one["bounty"], one["paid"]) for one in shown["done"]] == [(str(TOKEN + 1), str(TOKEN + 3))] * 2
    assert Job.from_json(job.to_json()) == job


def test_the_screen_names_an_endpoint_that_said_what_is_wrong(tmp_path: Path) -> None:
    make_repair_key(tmp_path, lambda: None)
    EndpointNotes(tmp_path / ENDPOINTS_NAME).note_report("The endpoint http://liar lies.")
    shown = CliRunner().invoke(app, ["status", "--home", str(tmp_path)])
    assert (shown.exit_code, "The endpoint http://liar lies." in shown.output) == (0, True)
