"""`grange farm` as a cheat changed it: what is gone or wrong is never looked for, nor made again.

    python scripts/stories/careless.py run --home ...

A farm as it comes rebuilds what it has lost from the other farmers before the next audit, if it can. Anyone
who throws data away to save the disk has no use for that.
"""

from grange_node.cli.farm import app
from grange_node.self_repair.self_repairer import SelfRepairer


async def look_away(self_repairer: SelfRepairer) -> None:
    """Instead of mending."""


if __name__ == "__main__":
    setattr(SelfRepairer, "tick", look_away)  # noqa: B010 - a method is not assigned to
    app()
