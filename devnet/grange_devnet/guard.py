"""Runs a command that knows nothing of us, and ends it when our stdin closes: nothing outlives its parent.

    python guard.py COMMAND ARG...

Anyone who starts this keeps a pipe to its stdin open. When that end is closed, also by the parent's death,
the command is asked to stop and soon after made to. Uses the standard library only, so that it starts at
once.
"""

import subprocess
import sys
import threading

END_TIMEOUT_SECONDS = 3.0


def main() -> int:
    """Run the command; its exit status is ours."""
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL) as child:

        def watch() -> None:
            while sys.stdin.buffer.read(4096):
                pass
            child.terminate()
            try:
                child.wait(END_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()

        threading.Thread(target=watch, daemon=True).start()
        return child.wait()


if __name__ == "__main__":
    sys.exit(main())
