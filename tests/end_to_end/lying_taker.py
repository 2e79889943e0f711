"""`grange farm` as a cheat changed it: it signs for other roots than those of the slots that it gets.

    python tests/end_to_end/lying_taker.py run --home ...

What it signs binds it to nothing. A giver that believed it would hand its slot to nobody.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from grange.messages import AcceptanceMessage
from grange_node.acceptance.acceptance_service import AcceptanceService
from grange_node.cli.farm import app

honest = AcceptanceService._message


def other_root(service: AcceptanceService, *args: Any, **fields: Any) -> AcceptanceMessage:
    """What it signs instead."""
    return replace(honest(service, *args, **fields), root=bytes(32))


if __name__ == "__main__":
    setattr(AcceptanceService, "_message", other_root)  # noqa: B010 - a method is not assigned to
    app()
