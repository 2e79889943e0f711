"""Where a passphrase comes from: asked once, never without need, and in words where there is none."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from keystore_support import KEY, RIGHT, FakeKeyring, Person, container_of

from grange.keystore import passphrases as module
from grange.keystore.container import WrongPassphrase
from grange.keystore.passphrases import (
    KEYRING_SERVICE,
    MAX_PASSPHRASE_BYTES,
    MAX_QUESTIONS,
    KeyringFailed,
    PassphraseNeeded,
    Passphrases,
    PassphraseUnreadable,
    forget_in_keyring,
    import_keyring,
    keep_in_keyring,
)


def file_with(folder: Path, content: str | bytes, mode: int = 0o600, name: str = "passphrase") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nanother line\n"])
def test_the_first_line_of_a_file_opens_it_and_nobody_is_asked(tmp_path: Path, ending: str) -> None:
    person = Person()
    opened = Passphrases(files=[file_with(tmp_path, RIGHT + ending)], ask=person).open(container_of(), "it")
    assert (opened.secret, opened.passphrase, person.asked) == (KEY, RIGHT, [])
    assert RIGHT not in repr(opened)


def test_a_descriptor_opens_it(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, RIGHT.encode())
    os.close(writing)
    assert Passphrases(descriptors=[reading]).open(container_of(), "it").secret == KEY


def test_of_several_files_each_opens_what_it_fits(tmp_path: Path) -> None:
    """The owner's key may have another passphrase than the operator's. Each file is read once."""
    files = [file_with(tmp_path, RIGHT), file_with(tmp_path, "the other", name="other")]
    passphrases = Passphrases(files=files)
    assert passphrases.open(container_of("the other"), "owner.key").passphrase == "the other"
    for path in files:
        path.unlink()
    assert passphrases.open(container_of(), "operator.key").passphrase == RIGHT


def test_a_person_is_asked_once_for_all_that_a_passphrase_opens() -> None:
    person = Person(RIGHT)
    passphrases = Passphrases(ask=person)
    for name in ("operator.key", "owner.key"):
        assert passphrases.open(container_of(), name).secret == KEY
    assert person.asked == ["The passphrase of operator.key"]


def test_nothing_is_read_or_asked_before_something_is_opened(tmp_path: Path) -> None:
    person = Person()
    passphrases = Passphrases(files=[tmp_path / "nowhere"], ask=person)
    assert (passphrases.are_given, person.asked) == (True, [])


def test_a_mistyped_passphrase_is_asked_for_again_and_not_for_ever() -> None:
    said: list[str] = []
    assert Passphrases(ask=Person("wrong", RIGHT), tell=said.append).open(container_of(), "it").secret == KEY
    assert said == ["That does not open it."]
    person = Person(*["zx" + "81"] * 9)
    with pytest.raises(WrongPassphrase, match="recovery card") as refused:
        Passphrases(ask=person).open(container_of(), "it")
    assert len(person.asked) == MAX_QUESTIONS
    assert "zx" + "81" not in "".join(traceback.format_exception(refused.value))


def test_a_file_that_does_not_open_it_is_named_and_what_it_says_is_not(tmp_path: Path) -> None:
    path = file_with(tmp_path, "not " + "the one")
    with pytest.raises(WrongPassphrase, match=r"does not open home/operator.key") as refused:
        Passphrases(files=[path]).open(container_of(), "home/operator.key")
    assert "not the one" not in "".join(traceback.format_exception(refused.value))


def test_a_person_may_know_what_the_file_does_not(tmp_path: Path) -> None:
    passphrases = Passphrases(files=[file_with(tmp_path, "old")], ask=Person(RIGHT))
    assert passphrases.open(container_of(), "it").secret == KEY


@pytest.mark.parametrize("person", [None, Person()], ids=["nobody there", "end of input"])
def test_without_a_passphrase_it_says_how_to_give_one(person: Person | None) -> None:
    with pytest.raises(PassphraseNeeded) as refused:
        Passphrases(ask=person).open(container_of(), "it")
    assert "--passphrase-file" in refused.value.hint
    assert "GRANGE_PASSPHRASE_FILE" in refused.value.hint


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "empty"), ("\nsecond", "empty"), (b"\xff\xfe", "not text"), ("x" * 2000, "longer than")],
)
def test_a_file_without_a_passphrase_is_refused_in_words(
    tmp_path: Path, content: str | bytes, reason: str
) -> None:
    with pytest.raises(PassphraseUnreadable, match=reason):
        Passphrases(files=[file_with(tmp_path, content)]).open(container_of(), "it")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PassphraseUnreadable, match="No such file"):
        Passphrases(files=[tmp_path / "nowhere"]).open(container_of(), "it")
    closed, _ = os.pipe()
    os.close(closed)
    os.close(_)
    with pytest.raises(PassphraseUnreadable, match=f"descriptor {closed}"):
        Passphrases(descriptors=[closed]).open(container_of(), "it")


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(PassphraseUnreadable, match=str(MAX_PASSPHRASE_BYTES)):
        Passphrases(files=[Path("/dev/zero")]).open(container_of(), "it")


@pytest.mark.parametrize(("mode", "is_said"), [(0o600, False), (0o440, False), (0o604, True), (0o444, True)])
def test_a_passphrase_that_everybody_can_read_is_said_so(tmp_path: Path, mode: int, is_said: bool) -> None:
    """And taken: a secret that a container or systemd mounts has the mode that it has."""
    said: list[str] = []
    path = file_with(tmp_path, RIGHT, mode)
    Passphrases(files=[path], tell=said.append).open(container_of(), "it")
    assert [f"chmod 600 {path}" in line for line in said] == [True] * is_said


def test_the_keyring_is_asked_for_what_was_given_to_it_and_for_nothing_else() -> None:
    keyring = FakeKeyring()
    locked = container_of(in_keyring=True)
    keyring.kept[KEYRING_SERVICE, locked.id] = RIGHT
    opened = Passphrases(load_keyring=lambda: keyring).open(locked, "it")
    assert opened.secret == KEY

    def not_asked() -> FakeKeyring:
        raise AssertionError("looked for a keyring that has nothing")

    assert Passphrases(ask=Person(RIGHT), load_keyring=not_asked).open(container_of(), "it").secret == KEY


@pytest.mark.parametrize("broken", ["", "no D-Bus\nat all"])
def test_a_keyring_that_fails_is_said_and_the_person_asked(broken: str) -> None:
    said: list[str] = []
    passphrases = Passphrases(
        ask=Person(RIGHT), load_keyring=lambda: FakeKeyring(broken=broken), tell=said.append
    )
    assert passphrases.open(container_of(in_keyring=True), "it").secret == KEY
    assert len(said) == 1
    assert "keyring" in said[0]
    assert "at all" not in said[0]


def test_a_keyring_keeps_and_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = FakeKeyring()
    monkeypatch.setattr(module, "import_keyring", lambda: keyring)
    locked = container_of(in_keyring=True)
    keep_in_keyring(locked, RIGHT)
    assert Passphrases().open(locked, "it").secret == KEY
    forget_in_keyring(locked)
    forget_in_keyring(locked)
    assert keyring.kept == {}
    monkeypatch.setattr(module, "import_keyring", lambda: FakeKeyring(broken="is locked"))
    with pytest.raises(KeyringFailed, match="is locked"):
        keep_in_keyring(locked, RIGHT)


def test_a_keyring_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", missing)
    with pytest.raises(KeyringFailed, match=r"pip install 'grange\[keyring\]'"):
        import_keyring()
    said: list[str] = []
    passphrases = Passphrases(ask=Person(RIGHT), tell=said.append)
    assert passphrases.open(container_of(in_keyring=True), "it").secret == KEY
    assert "not installed" in said[0]


def test_a_new_passphrase_is_typed_twice_and_then_known() -> None:
    person = Person("first", "second", RIGHT, RIGHT)
    said: list[str] = []
    passphrases = Passphrases(ask=person, tell=said.append)
    assert passphrases.choose("the operator's key") == RIGHT
    assert said == ["They differ. Once more, then."]
    assert passphrases.open(container_of(), "operator.key").secret == KEY
    assert len(person.asked) == 4


def test_a_person_may_want_none_and_nobody_there_means_neither(tmp_path: Path) -> None:
    assert Passphrases(ask=Person("")).choose("the phrase") is None
    with pytest.raises(PassphraseNeeded, match="The phrase would be locked") as refused:
        Passphrases().choose("the phrase")
    assert "--no-encryption" in refused.value.hint
    given = Passphrases(files=[file_with(tmp_path, RIGHT)])
    assert given.choose("the phrase") == RIGHT


def test_one_that_differs_each_time_is_given_up() -> None:
    with pytest.raises(PassphraseNeeded, match="differed"):
        Passphrases(ask=Person(*"abcdef")).choose("the phrase")
