"""How much of what: limits that both sides of the HTTP protocol rely on. docs/protocol.md, section 5."""

from typing import Final

from grange.units import KIB, MIB

STEP_BYTES: Final = 8 * MIB
"""What one paid request gets at most: so much of a download either side risks to lose to the other."""
LISTED_INDICES: Final = 1000
"""What one listing covers: a slot may have millions of pieces, and an answer is made between others."""
MAX_PIECES_PER_SLOT: Final = 1 << 22
"""As many as a slot of 2^32 leaves has in pieces of 1 MiB, and some."""

MAX_REQUEST_LIFE_SECONDS: Final = 300
"""How long a signed request may be good."""
MAX_REQUEST_BODY_BYTES: Final = 32 * KIB
"""Of a request in JSON: more than twice what the slots of the largest order take."""
MAX_HEAD_BYTES: Final = 32 * KIB
"""A request line and its headers. Ours take less than one KiB."""
MAX_HEADERS: Final = 100
MAX_SIGNATURE_BYTES: Final = 1024
"""Of a contract wallet: fifteen owners' signatures."""
MAX_AUTHORIZATION_CHARACTERS: Final = 2 * MAX_SIGNATURE_BYTES + 512
MAX_VOUCHER_CHARACTERS: Final = 2 * MAX_SIGNATURE_BYTES + 128

MAX_ANSWER_BYTES: Final = 128 * KIB
"""Of an answer in JSON: the longest, a page of the list of pieces, is under this."""
MAX_ERROR_BYTES: Final = 64 * KIB
MAX_CODE_CHARACTERS: Final = 64
MAX_MESSAGE_CHARACTERS: Final = 1024
