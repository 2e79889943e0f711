"""Contract wallets in a few bytes of code, each with a way to answer.

    code = creation_code(DENYING["burns all gas"])

What each does when it is asked is its whole program.
"""

from typing import Final

_YES: Final = "7f1626ba7e" + "00" * 28
"""PUSH32 of the word that says yes."""
_RETURN_WORD: Final = "60005260206000f3"

SWITCHES: Final = bytes.fromhex(
    "36600c57"  # asked with data: answer; else:
    "600054156000" + "5500"  # turn round what is stored
    "5b600054" + _YES + "02" + _RETURN_WORD  # yes, times what is stored
)
"""Says no; after a call without data yes; after the next one no again."""

DENYING: Final = {
    "burns all gas": bytes.fromhex("5b600056"),
    "returns more than its gas pays for": bytes.fromhex(_YES + "600052" + "62100000" + "6000f3"),
    "returns too little": bytes.fromhex(_YES + "600052" + "60046000f3"),
    "returns nearly yes": bytes.fromhex("7f1626ba7e" + "00" * 27 + "01" + _RETURN_WORD),
    "returns nothing": bytes.fromhex("00"),
    "reverts at length": bytes.fromhex(_YES + "600052" + "6180006000fd"),
    "writes, as it may where it is not called statically": bytes.fromhex("6001600055" + _YES + _RETURN_WORD),
    "destroys itself": bytes.fromhex("33ff"),
    "is not valid code": bytes.fromhex("fe"),
}
APPROVING: Final = {
    "says yes": bytes.fromhex(_YES + _RETURN_WORD),
    "says yes at great length": bytes.fromhex(_YES + "600052" + "62040000" + "6000f3"),
}


def creation_code(program: bytes) -> bytes:
    """What deploys a contract with this program."""
    return bytes.fromhex(f"61{len(program):04x}80600c6000396000f3") + program
