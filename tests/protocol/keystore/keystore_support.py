"""What tests of the keystore share: a key, a cost that takes no time, and a person who types."""

from __future__ import annotations

from collections.abc import Iterator

from grange.chain import Wallet
from grange.keystore.container import Container, Cost, SecretKind, lock

CHEAP = Cost(n=2)
KEY = bytes(range(1, 33))
WALLET = Wallet(KEY)
RIGHT = "correct horse battery staple"


def container_of(passphrase: str = RIGHT, *, in_keyring: bool = False) -> Container:
    """A key that this opens."""
    text = lock(
        KEY, passphrase, holds=SecretKind.KEY, address=WALLET.address, in_keyring=in_keyring, cost=CHEAP
    )
    return Container.parse(text)


class Person:
    """Types these answers, one after the other; an end of input when there are no more."""

    def __init__(self, *answers: str) -> None:
        self._answers: Iterator[str] = iter(answers)
        self.asked: list[str] = []

    def __call__(self, question: str) -> str:
        self.asked.append(question)
        try:
            return next(self._answers)
        except StopIteration:
            raise EOFError from None


class FakeKeyring:
    """As the library `keyring`; `broken` says what it does when it does nothing."""

    def __init__(self, *, broken: str = "") -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self._broken = broken

    def get_password(self, service: str, username: str, /) -> str | None:
        self._check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str, /) -> None:
        self._check()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str, /) -> None:
        self._check()
        del self.kept[service, username]

    def _check(self) -> None:
        if self._broken:
            raise RuntimeError(self._broken)
