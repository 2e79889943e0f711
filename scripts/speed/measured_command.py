"""Run a command, and print what it took as JSON: `python -m speed.measured_command FOLDER COMMAND...`

A process of its own, and a small one: the most memory that the system counts for a command is at least what
the process had that started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def measured(
    folder: Path, command: list[str], *, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Seconds, processor seconds of it and of what it started, its largest memory, what it read by `read`
    (files, pipes; not what it mapped), and what it wrote to standard output. Ends the program if it fails."""
    begun = time.perf_counter()
    with (
        tempfile.TemporaryFile() as remarks,
        subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=remarks,
        ) as process,
    ):
        assert process.stdout is not None
        said = process.stdout.read()
        # Ended, and not yet forgotten.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        seconds = time.perf_counter() - begun
        read_bytes = _read_bytes(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            remarks.seek(0)
            print((said + remarks.read()).decode(errors="replace"), file=sys.stderr)
            raise SystemExit(f"{command} ended with {process.returncode}")
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
        "peak_memory_mb": round(used.ru_maxrss * 1024 / 1e6, 1),
        "read_bytes": read_bytes,
        "said": said.decode(errors="replace"),
    }


def _read_bytes(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar:"))


if __name__ == "__main__":
    print(json.dumps(measured(Path(sys.argv[1]), sys.argv[2:])))
