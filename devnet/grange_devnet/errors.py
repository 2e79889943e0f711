"""What can go wrong with a devnet.

WorldError
`-- DevnetError
    |-- EngineMissing    the program that runs the chain is not installed; says what to run
    |-- EngineFailed     it is, and did not start
    `-- PortTaken        something else listens where it should
"""

from grange.errors import WorldError


class DevnetError(WorldError):
    """The private chain could not be had."""


class EngineMissing(DevnetError):
    """The engine's program is not installed."""

    def __init__(self, engine: str, missing: str, remedy: str) -> None:
        super().__init__(f"the engine {engine} needs {missing}, which is not installed: {remedy}")
        self.engine = engine
        self.remedy = remedy


class EngineFailed(DevnetError):
    """The engine's program ended, or said nothing, instead of starting."""

    def __init__(self, engine: str, reason: str, output: str) -> None:
        super().__init__(f"the engine {engine} {reason}" + (f":\n{output}" if output else ""))
        self.engine = engine
        self.output = output


class PortTaken(DevnetError):
    """Something listens on the port already."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is taken, most likely by another devnet: end that one, or choose a port with --port"
        )
        self.port = port
