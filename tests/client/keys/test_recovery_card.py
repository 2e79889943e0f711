"""The recovery card: what is printed reads back, what is mistyped is noticed, its QR code can be scanned."""

import re
from pathlib import Path

import pytest
import zxingcpp
from client_fakes import MARKET, WORDS
from hypothesis import given
from hypothesis import strategies as st

from grange.chain.network_file import Network
from grange_client.cli.screens.card import MAX_COLUMNS, Squares, card_screen, draw, qr_squares
from grange_client.errors import BadCard, BadPhrase
from grange_client.keys.config import load_card, set_up, set_up_delegate
from grange_client.keys.identity_file import DelegateSecret
from grange_client.keys.recovery_card import RecoveryCard
from grange_client.keys.recovery_phrase import new_phrase

NETWORK = Network(
    name="town",
    rpc=("https://one.example/KEY", "https://two.example"),
    market=MARKET,
    chain_id=1337,
    first_block=42,
)
CARD = RecoveryCard.of(WORDS, NETWORK)


def test_the_card_reads_back_with_all_that_a_new_computer_needs() -> None:
    assert RecoveryCard.parse(CARD.text()) == CARD
    assert CARD.network == NETWORK
    assert CARD.phrase == WORDS
    unknown = NETWORK.model_copy(update={"token": MARKET, "genesis_hash": "ab" * 32})
    assert RecoveryCard.of(WORDS, unknown) == CARD


@given(first_block=st.integers(0, 2**60), chain_id=st.integers(1, 2**60), count=st.integers(1, 8))
def test_any_card_reads_back(first_block: int, chain_id: int, count: int) -> None:
    urls = tuple(f"https://{number}.example" for number in range(count))
    network = Network(
        rpc=urls if count > 1 else urls[0], market=MARKET, chain_id=chain_id, first_block=first_block
    )
    card = RecoveryCard.of(new_phrase(), network)
    assert RecoveryCard.parse(card.text()) == card


def test_how_it_was_copied_does_not_matter() -> None:
    """Blanks, empty lines, case where it has no meaning, and what stands around it."""
    copied = CARD.text().replace("words: ", "\n  Words :  ").replace(MARKET, MARKET.lower())
    around = f"This is your card\n\n{copied}\nwords: of something else\n▄▀█"
    assert RecoveryCard.parse(around.replace(WORDS.split()[0], WORDS.split()[0].upper())) == CARD


@pytest.mark.parametrize("line", range(len(CARD.text().splitlines())))
def test_a_digit_or_letter_that_is_mistyped_is_noticed_in_any_line(line: int) -> None:
    lines = CARD.text().splitlines()
    last = lines[line][-1]
    lines[line] = lines[line][:-1] + ("8" if last != "8" else "9")
    with pytest.raises((BadCard, BadPhrase)):
        RecoveryCard.parse("\n".join(lines))


@pytest.mark.parametrize("line", range(len(CARD.text().splitlines())))
def test_a_line_that_is_left_out_is_noticed(line: int) -> None:
    lines = CARD.text().splitlines()
    del lines[line]
    with pytest.raises((BadCard, BadPhrase)):
        RecoveryCard.parse("\n".join(lines))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("card 1", "card 2", "this one is '2'"),
        ("card 1\n", f"card 1 words: {WORDS} ", "does not end with the card's version"),
        (f"market: {MARKET}", f"market: {WORDS}", "market is not an address"),
        ("chain: 1337", "chain: one", "chain_id: "),
        ("chain: 1337", "chain: 1337\nchain: 1337", "two lines that begin with 'chain'"),
        ("chain: 1337", "abandon ability", "Line 6 is not one"),
        ("first block: 42\n", "", "no line that begins with 'first block'"),
        ("first block: 42", "first block: 41", "something in one of them is mistyped"),
        ("Grange", "A", "There is no recovery card in that"),
        ("check", "chekc", "is not one that a recovery card has"),
        (f"check: {CARD.check}", "", "ends too early"),
        (MARKET, "0x12", "market: '0x12' is not an address"),
    ],
)
def test_what_is_wrong_is_said_and_no_word_and_no_key_is_shown(before: str, after: str, said: str) -> None:
    text = CARD.text()
    assert before in text
    with pytest.raises(BadCard) as raised:
        RecoveryCard.parse(text.replace(before, after))
    assert said in str(raised.value)
    shown = f"{raised.value} {raised.value!r} {CARD!r}"
    assert not any(word in re.findall(r"[a-z]+", shown) for word in (*set(WORDS.split()), "ability"))
    assert "KEY" not in shown


# The QR code.


def scanned(squares: Squares) -> str:
    """What an independent reader reads from a picture of it."""
    pixels = [bytes(0 if square else 255 for square in row for _ in range(4)) for row in squares]
    picture = b"".join(row for row in pixels for _ in range(4))
    read = zxingcpp.read_barcodes(memoryview(picture).cast("B", shape=[4 * len(squares), len(pixels[0])]))
    assert len(read) == 1
    return str(read[0].text)


def seen(drawn: str, *, dark: bool) -> Squares:
    """The squares that an eye sees in lines of half blocks; `dark` where blocks are ink on paper."""
    rows = []
    for line in drawn.splitlines():
        for half in (("▀", "█"), ("▄", "█")):
            rows.append([int((character in half) == dark) for character in line])
    return rows


@pytest.mark.parametrize("dark", [True, False])
def test_a_reader_reads_the_card_from_the_lines_of_a_terminal_and_of_paper(dark: bool) -> None:
    squares = qr_squares(CARD)
    assert squares is not None
    drawn = draw(squares, dark=dark)
    assert all(len(line) <= MAX_COLUMNS for line in drawn.splitlines())
    assert RecoveryCard.parse(scanned(seen(drawn, dark=dark))) == CARD


def test_the_screen_has_the_card_and_its_code_and_fits_80_columns() -> None:
    screen = card_screen(CARD, for_paper=True, encoding="utf-8")
    assert screen.startswith(CARD.text())
    assert RecoveryCard.parse(screen) == CARD
    assert all(len(line) <= MAX_COLUMNS for line in screen.splitlines())
    code = screen[len(CARD.text()) :].lstrip("\n")
    assert RecoveryCard.parse(scanned(seen(code, dark=True))) == CARD


def test_endpoints_for_which_there_is_no_room_are_left_out_of_the_code_and_said() -> None:
    """The text always has all of them."""
    long = [f"https://{number}.example/{'k' * 150}" for number in range(3)]
    several = RecoveryCard.of(WORDS, NETWORK.model_copy(update={"rpc": tuple(long)}))
    squares = qr_squares(several)
    assert squares is not None
    assert RecoveryCard.parse(scanned(squares)).network.rpc == long[0]
    assert all(url in card_screen(several, for_paper=True, encoding="utf-8") for url in long)
    longest = RecoveryCard.of(WORDS, NETWORK.model_copy(update={"rpc": long[0] + 500 * "k"}))
    assert "There is no QR code of it" in card_screen(longest, for_paper=True, encoding="utf-8")


def test_a_terminal_that_has_no_blocks_gets_the_text_alone() -> None:
    assert card_screen(CARD, for_paper=False, encoding="latin-1") == CARD.text()


def test_a_home_that_does_not_know_its_chain_has_no_card() -> None:
    """It would not read back."""
    with pytest.raises(BadCard, match="does not say which chain"):
        RecoveryCard.of(WORDS, NETWORK.model_copy(update={"chain_id": None}))


def test_a_home_has_a_card_and_a_delegates_has_none(tmp_path: Path) -> None:
    config = set_up(tmp_path / "home", phrase=WORDS, network=NETWORK)
    assert load_card(tmp_path / "home") == CARD
    made = DelegateSecret.new(config.identity)
    set_up_delegate(tmp_path / "phone", network=NETWORK, secret=made.text(None))
    with pytest.raises(BadCard, match="delegate's home"):
        load_card(tmp_path / "phone")
