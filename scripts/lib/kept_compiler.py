"""The Solidity compiler as a process that stays: it answers one request after the other.

Starting it for each costs as much as compiling one contract, since its own code is translated each time.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# Its memory only grows.
REQUESTS_BEFORE_A_NEW_ONE = 40


class KeptCompiler:
    """One process at a time, in one folder. For one thread; leave it to end the process."""

    def __init__(self, program: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self._command = ["node", str(program), "--serve"]
        self._folder = folder
        self._environment = dict(environment)
        self._process: subprocess.Popen[str] | None = None
        self._answered = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Standard JSON's answer. Raises RuntimeError if the process ended instead; the next one is new."""
        if self._answered >= REQUESTS_BEFORE_A_NEW_ONE:
            self._end()
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            process.wait()
            self._end()
            raise RuntimeError(f"the compiler ended with {process.returncode} and gave no answer")
        self._answered += 1
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[str]:
        self._answered = 0
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate()
