"""What can go wrong with a devnet.

WorldError
`-- DevnetError
    |-- EngineMissing    the program that runs the chain is not installed; says what to run
    |-- EngineFailed     it is, and did not start
    |-- PortTaken        something else listens where it should
    `-- FileTaken        the file that it would write is that of a devnet that runs
"""

from pathlib import Path

from grange.errors import Category, UserError, WorldError


class DevnetError(UserError, WorldError):
    """The private chain could not be had."""


class EngineMissing(DevnetError):
    """The engine's program is not installed."""

    category = Category.SETUP

    def __init__(self, engine: str, missing: str, remedy: str) -> None:
        super().__init__(
            f"The engine {engine} needs {missing}, which is not installed.", hint=f"To install it: {remedy}"
        )
        self.engine = engine
        self.remedy = remedy


class EngineFailed(DevnetError):
    """The engine's program ended, or said nothing, instead of starting."""

    category = Category.CHAIN

    def __init__(self, engine: str, reason: str, output: str) -> None:
        super().__init__(f"The engine {engine} {reason}.", detail=output)
        self.engine = engine
        self.output = output


class PortTaken(DevnetError):
    """Something listens on the port already."""

    category = Category.IN_USE

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} is taken, most likely by another devnet.",
            hint="End that one, or choose a port with --port.",
        )
        self.port = port


class FileTaken(DevnetError):
    """The file that says where the devnet is belongs to another one, which is running."""

    category = Category.IN_USE

    def __init__(self, path: Path, rpc: str) -> None:
        super().__init__(
            f"{path} belongs to the devnet at {rpc}, which is running.",
            hint="End that one, or choose another file with --output.",
        )
        self.path = path
