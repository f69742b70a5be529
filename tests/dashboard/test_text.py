"""What people wrote is shown as they wrote it, and nothing else comes of it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dashboard.text import WORD_JOINER, escape_markdown

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# What Streamlit replaces in the text that is left when Markdown has been parsed.
LINK = re.compile(r"(https?://|www\.)[-.\w]+", re.IGNORECASE)
MAIL = re.compile(r"[-.\w+]+@[-\w]+(\.[-\w]+)+")
SHORTCODE = re.compile(r":[\w+-]+:|:material[/_]\w+:")
ARROW = re.compile(r"(^|\s)(<->|->|<-|--|>=|<=|~=)(\s|$)")

HOSTILE = [
    "**b** _i_ `c` ~~s~~ # h",
    "1. one",
    "- item",
    "> quote",
    "    code",
    "[x](javascript:window.XSS=1) ![i](https://evil.example/i.png)",
    '<img src=x onerror="window.XSS=1"> &lt;b&gt; &#35;',
    ":red[injected] :material/home: :smile: :+1: $x^2$ $$y$$",
    "see https://evil.example, www.evil.example or me@evil.example",
    "a -> b <- c <-> d -- e >= f <= g ~= h",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "\\*kept\\*",
    "two\n\nparagraphs",
]
pieces = st.one_of(st.sampled_from(HOSTILE), st.text(alphabet="ab:/.@-<>=~$[]()*_`#|&;!\\ w\n", max_size=20), st.text())


def shown(markdown: str) -> str:
    """The text that a parser finds; fails where it finds anything but one paragraph of text."""
    tokens = MARKDOWN.parse(markdown)
    if not tokens:
        return ""
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}, children
    return "".join(child.content for child in children)


@given(st.lists(pieces, max_size=4).map("".join))
def test_escaped_text_is_shown_letter_by_letter(text: str) -> None:
    found = shown(escape_markdown(text))
    assert found.replace(WORD_JOINER, "") == " ".join(text.split()).replace(WORD_JOINER, "").replace("\0", "\ufffd")


@given(st.lists(pieces, max_size=4).map("".join))
def test_nothing_is_left_that_streamlit_replaces_after_parsing(text: str) -> None:
    found = shown(escape_markdown(text))
    for pattern in (LINK, MAIL, SHORTCODE, ARROW):
        assert not pattern.search(found), (pattern.pattern, found)


@pytest.mark.parametrize("text", ["nightly-backup", "Umsätze (Köln), 10:30", "a.b.c_d", ""])
def test_ordinary_names_get_nothing_invisible(text: str) -> None:
    assert WORD_JOINER not in escape_markdown(text)
    assert shown(escape_markdown(text)) == text
