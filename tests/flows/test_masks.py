"""No secret is printed, whole or in halves, however its text is cut."""

import asyncio
from collections.abc import Sequence
from time import thread_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from db import tracebacks
from db.states import Level, Stream
from flows import lines
from flows.lines import Allowance, Lines
from flows.masks import MASK, Mask, Masking

LETTERS = "ab\n"
"""Few, so that secrets overlap, begin with each other and come about by chance."""
SECRETS = st.dictionaries(st.sampled_from("XYZ"), st.text("abc\n", min_size=4, max_size=9), min_size=1)
SECRETS_OF_WORDS = st.sampled_from(
    [
        {"A": "abcdef", "B": "abcd"},
        {"A": "abcdef", "B": "defabc"},
        {"A": "aaaa"},
        {"A": "-----\nab\nabcdefgh\ncd\n-----"},
        {"A": 'é/ü "x"\\', "B": "ü-öä"},
    ]
)


@st.composite
def texts(draw: st.DrawFn) -> tuple[dict[str, str], str]:
    """Secrets, and a text in which they and their parts stand."""
    secrets = draw(SECRETS | SECRETS_OF_WORDS)
    values = list(secrets.values())
    whole = st.sampled_from(values)
    part = st.builds(lambda value, begin, end: value[begin:end], whole, st.integers(0, 5), st.integers(3, 9))
    return secrets, "".join(draw(st.lists(whole | part | st.text("abc\nx ", max_size=4), max_size=12)))


def cut(text: str, at: Sequence[int]) -> list[str]:
    places = sorted({place % (len(text) + 1) for place in at})
    return [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)], strict=True)]


CUTS = st.lists(st.integers(0, 200), max_size=12)


@given(texts(), CUTS)
@example(({"A": "abcdef", "B": "abcd"}, "xabcdx abcdef"), [4, 5, 6, 10])
@example(({"A": "abcd", "B": "cdefgh"}, "abcdefgh"), [4])
@example(({"A": "aaaa"}, "a" * 40), list(range(40)))
def test_what_is_shown_does_not_depend_on_how_the_text_was_cut(
    given: tuple[dict[str, str], str], at: list[int]
) -> None:
    secrets, text = given
    mask = Mask.of(secrets)
    stream = Masking(mask)
    shown = [stream.feed(piece) for piece in cut(text, at)]
    assert "".join([*shown, stream.close()]) == mask(text)


@given(texts())
def test_a_secret_leaves_nothing_of_itself(given: tuple[dict[str, str], str]) -> None:
    secrets, text = given
    hidden = bytearray(len(text))
    for form in Mask.of(secrets).forms:
        begin = text.find(form)
        while begin >= 0:
            hidden[begin : begin + len(form)] = b"\1" * len(form)
            begin = text.find(form, begin + 1)
    left = "".join(letter for letter, is_hidden in zip(text, hidden, strict=True) if not is_hidden)
    shown = Mask.of(secrets)(text)
    assert shown.replace(MASK, "") == left
    assert not any(value in piece for piece in shown.split(MASK) for value in secrets.values())


@given(texts(), CUTS)
def test_less_than_the_longest_form_is_held_back(given: tuple[dict[str, str], str], at: list[int]) -> None:
    secrets, text = given
    mask = Mask.of(secrets)
    stream = Masking(mask)
    for piece in cut(text, at):
        stream.feed(piece)
        assert len(stream._held) < max(map(len, mask.forms))


def test_many_lines_are_hidden_as_few_are() -> None:
    value = "\n".join(f"line {number} of a key" for number in range(200))
    mask = Mask.of({"KEY": value})
    assert mask(f"<{value}>") == f"<{MASK}>"
    assert mask("line 7 of a key, line 77 of a key, line 777 of a key") == f"{MASK}, {MASK}, line 777 of a key"


@pytest.mark.parametrize("value", ["a" * 65_536, "é" * 65_536, "\n".join(f"k{n:063}" for n in range(1_000))])
def test_the_largest_secret_is_looked_for_in_no_time(value: str) -> None:
    mask = Mask.of({"A": value})
    stream = Masking(mask)
    begun = thread_time()
    for piece in ("a" * 65_536, "lorem ipsum " * 5_000, value[:40_000]):
        stream.feed(piece)
    assert thread_time() - begun < 1.0


class Kept:
    """An output that keeps what it is given."""

    is_full = False

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, message: str, *, stream: Stream, level: Level = Level.INFO) -> None:  # noqa: ARG002
        self.lines.append(message)


@given(texts(), CUTS, st.sets(st.integers(0, 12)), st.integers(3, 40))
@example(({"A": "abcdefgh"}, "x" * 12 + "abcdefgh"), [], set(), 16)
def test_lines_and_partial_lines_never_show_a_half(
    given: tuple[dict[str, str], str], at: list[int], waits: set[int], longest: int
) -> None:
    """A line that is cut, or shown before it ended because nothing came for a while, is shown as one line more."""
    secrets, text = given
    mask, kept = Mask.of(secrets), Kept()

    async def print_it() -> None:
        stream = Lines(Allowance(kept, mask=mask), Stream.STDOUT)
        for number, piece in enumerate(cut(text, at)):
            data = piece.encode()
            for half in (data[: len(data) // 2], data[len(data) // 2 :]):
                stream.feed(half)
            if number in waits:
                stream._show_waiting()
        stream.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "MAX_LINE", longest)
        asyncio.run(print_it())
    assert "".join(kept.lines) == mask(text).replace("\n", "")


@pytest.mark.parametrize("before", [0, 1990, 1996, 2500])
def test_the_text_of_an_exception_is_masked_before_it_is_cut(before: int) -> None:
    error = ValueError("x" * before + "hunter-of-halves" + "y" * 9_000)
    said = tracebacks.message(error, Mask.of({"A": "hunter-of-halves"}))
    assert len(said) < 2_100
    assert "hunt" not in said


FORMS = [
    ("a b+c&d", "https://x/?q=a%20b+c&d"),
    ("a b+c&d", "https://x/?q=a+b%2Bc%26d"),
    ("p/é?", "https://x/p/%C3%A9%3F"),
    ("p/é?", "https://x/p/%c3%a9%3f"),
    ('it\'s "it"', "{'key': 'it\\'s \"it\"'}"),
    ("tab\tbéta", "b'tab\\tb\\xc3\\xa9ta'"),
    ("tab\tbéta", '{"key": "tab\\tb\\u00e9ta"}'),
    ('<a> & "b"', "&lt;a&gt; &amp; &quot;b&quot;"),
    ("token-with-end\n", "token-with-end"),
    ("one\ntwo", "one\r\ntwo"),
]


@pytest.mark.parametrize(("value", "text"), FORMS)
def test_a_value_is_known_in_other_words(value: str, text: str) -> None:
    shown = Mask.of({"A": value})(text)
    assert MASK in shown
    assert len(shown) - len(MASK) <= len(text) - len(value.strip())
