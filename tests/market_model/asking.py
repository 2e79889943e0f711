"""Reading the contract on a chain in this process, without running again what must come out the same.

A view can only hang on its arguments, the words of storage that it reads, and the block. So an answer is kept
together with the words that it read, and with its block if it looked at that. It is given again while all of
these are as they were, and then only the words are read. That is exact, for reorgs too: nothing is assumed of
what a transaction changes. Stories ask far more than they do: with this
comparing all after every call costs little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from eth.abc import StateAPI

from grange_devnet.evm import Evm
from grange_devnet.evm_values import CallRequest

_OF_THE_BLOCK: Final = frozenset(("block_number", "timestamp", "prev_hashes", "mix_hash"))
"""What makes an answer one of its block. Base fee and coinbase are left out: py-evm looks at them for every
message, and no contract of ours asks."""

_NOBODY: Final = bytes(20)

Word = tuple[bytes, int]
"""Names a word of storage: contract and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What a view returned, and what that hangs on; `block_hash` is empty if on no block."""

    output: bytes
    words: dict[Word, int]
    block_hash: bytes


class Asking:
    """Views of contracts at the newest block of a chain."""

    def __init__(self, evm: Evm) -> None:
        self._evm = evm
        self._answers: dict[tuple[bytes, bytes], _Answer] = {}
        self._words: dict[Word, int] = {}
        self._words_of = b""

    def ask(self, to: bytes, data: bytes) -> bytes:
        """What the call returns now."""
        known = self._answers.get((to, data))
        if known is None or not self._still_holds(known):
            known = self._answers[to, data] = self._run(to, data)
        return known.output

    def _still_holds(self, answer: _Answer) -> bool:
        if answer.block_hash not in (b"", self._evm.head.hash):
            return False
        return all(self._word(word) == value for word, value in answer.words.items())

    def _word(self, word: Word) -> int:
        """As it is now; read at most once a block."""
        if self._words_of != self._evm.head.hash:
            self._words_of = self._evm.head.hash
            self._words.clear()
        if word not in self._words:
            self._words[word] = self._evm.storage(*word, self._evm.head.number)
        return self._words[word]

    def _run(self, to: bytes, data: bytes) -> _Answer:
        head = self._evm.head
        watched = _Watched(self._evm.state(head.number))
        try:
            output = self._evm.call(CallRequest(sender=_NOBODY, to=to, data=data), head.number)
        finally:
            watched.stop()
        block_hash = head.hash if watched.looked_at_block else b""
        return _Answer(output=output, words=watched.words, block_hash=block_hash)


class _Watched:
    """What is read of a state, until `stop`."""

    def __init__(self, state: StateAPI) -> None:
        self.words: dict[Word, int] = {}
        self.looked_at_block = False
        self._state: Any = state
        self._context = state.execution_context
        self._state.execution_context = self
        self._state.get_storage = self._get_storage

    def __getattr__(self, name: str) -> Any:
        """In place of the state's execution context."""
        self.looked_at_block |= name in _OF_THE_BLOCK
        return getattr(self._context, name)

    def _get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
        value = int(type(self._state).get_storage(self._state, address, slot, from_journal))
        self.words[bytes(address), slot] = value
        return value

    def stop(self) -> None:
        """Leave the state as it was."""
        del self._state.get_storage
        self._state.execution_context = self._context
