"""Whether a contract wallet says that a signature is its own (ERC-1271), as the market would ask it.

    if await is_approved(rpc, wallet, digest, signature): ...

A small program, run by `eth_call`, asks as `WalletSignature.sol` does: by a static call with as much gas, and
reads one word of what comes back. So whatever the wallet does (burn gas, return a megabyte, revert, try to
write), the endpoint answers with one word, and what it refuses is its own fault and not the wallet's. The
answer is good for the moment: the wallet may say otherwise in the next block, and it can tell a question from
a transaction. An address without code says no.
"""

from typing import Any, Final

from grange.chain.answers import bytes_from
from grange.chain.codec import Abi
from grange.chain.rpc import Rpc
from grange.chain.witnesses import do_two_say_yes
from grange.types import Address

WALLET_GAS: Final = 300_000
"""What the market gives a wallet for its answer, and so do we."""
CALL_GAS: Final = 1_000_000
"""With what the program itself takes, and its own data."""
_ERC1271: Final = Abi(
    [
        {
            "type": "function",
            "name": "isValidSignature",
            "inputs": [{"name": "hash", "type": "bytes32"}, {"name": "signature", "type": "bytes"}],
            "outputs": [{"name": "", "type": "bytes4"}],
        }
    ]
)
YES: Final = _ERC1271.function("isValidSignature").selector
"""Which is also the word that says yes."""
_WORD: Final = 32
_LENGTH_BYTES: Final = 2

_PROGRAM: Final = (
    "61{length}"  # the question's length
    "8060{program}602039"  # the question into memory, behind a word for the answer
    "602060008260"
    "2073{wallet}62{gas}fa"  # static call, with so much gas
    "3d601f1016"  # and a whole word came back
    "60005163{yes}60e01b1416"  # and that word says yes
    "60005260206000f3"
)


async def is_approved(
    rpc: Rpc, wallet: Address, digest: bytes, signature: bytes, *, by_two: bool = False
) -> bool:
    """Whether the contract at an address says now that a signature over a digest is its own. With `by_two`
    a yes must come from two endpoints, if there are several: one that lies says it of any address, also of
    one without code. Raises ChainError, also when no two agree."""
    call = {"data": "0x" + _question(wallet, digest, signature).hex(), "gas": hex(CALL_GAS)}
    question = ("eth_call", (call, "latest"))
    says_yes = _is_yes([await rpc.call(question[0], *question[1])])
    if not says_yes or not by_two or rpc.is_alone:
        return says_yes
    return await do_two_say_yes(rpc, [question], _is_yes, f"the signature of {wallet}")


def _is_yes(answers: list[Any]) -> bool:
    return bytes_from(answers[0], "a wallet's answer") == (1).to_bytes(_WORD)


def _question(wallet: Address, digest: bytes, signature: bytes) -> bytes:
    asked = _ERC1271.encode_call("isValidSignature", (digest, signature))

    def program(its_bytes: int) -> bytes:
        return bytes.fromhex(
            _PROGRAM.format(
                length=len(asked).to_bytes(_LENGTH_BYTES).hex(),
                program=f"{its_bytes:02x}",
                wallet=wallet[2:],
                gas=WALLET_GAS.to_bytes(3).hex(),
                yes=YES.hex(),
            )
        )

    return program(len(program(0))) + asked
