"""The command `grange` itself, with its bytes at the sockets counted.

    python -m speed.counted_command FILE put TREE/. main:/tree --yes --json

It runs what the installed command runs, from its first import to its exit code. What went to farmers and came
from them is written to the file as JSON when it ends; the chain's endpoint does not count.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from grange_client.cli.entry import main
from grange_client.cli.loading import pause_collector


def chain_ports(home: Path) -> set[int]:
    """Of the endpoints that a home asks about the chain."""
    # Long to load: the command does it in its turn.
    from grange.chain.endpoint import as_urls  # noqa: PLC0415
    from grange_client.keys.config import load  # noqa: PLC0415

    return {urlsplit(url).port or 0 for url in as_urls(load(home).network.rpc)}


def run(file: Path, arguments: list[str]) -> None:
    """Run it, and exit with its exit code."""
    # As the command does first of all: what is loaded below would be looked through for garbage.
    pause_collector()
    from speed.wire import counted_wire  # noqa: PLC0415  it loads aiohttp

    sys.argv[1:] = arguments
    with counted_wire(chain_ports(Path(os.environ["GRANGE_HOME"]))) as wire:
        try:
            main()
        finally:
            file.write_text(
                json.dumps({"sent_bytes": wire.sent_bytes, "received_bytes": wire.received_bytes})
            )


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
