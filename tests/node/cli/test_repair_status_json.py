"""What `grange repair status --json` prints."""

import json

from grange.types import Epoch, FarmerId, OrderId
from grange.units import TOKEN
from grange_node.cli.repair import summary
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
    shown = json.loads(json.dumps(summary("0x1", [], [job, job])))
    assert shown["bounty"] == str(2 * TOKEN + 2)
    assert [(one["bounty"], one["paid"]) for one in shown["done"]] == [(str(TOKEN + 1), str(TOKEN + 3))] * 2
    assert Job.from_json(job.to_json()) == job
