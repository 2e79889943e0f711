"""How files that are read are opened: as they are, without following a link and without waiting."""

import os
from typing import Final

READ_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""A pipe that took a file's place would else be waited for without end."""
DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY
