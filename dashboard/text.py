"""Text that people wrote, made safe to be shown where Streamlit would render it as Markdown."""

import re

WORD_JOINER = "\u2060"
"""Has no width: it only keeps its neighbours from being read together."""

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# Streamlit replaces these after it has parsed the Markdown, when backslashes are gone already: addresses that become
# links, shortcodes of icons and emoji, and arrows.
_REPLACED_LATER = re.compile(
    r"(?<=http:)(?=//)|(?<=https:)(?=//)|(?<=www)(?=\.)|(?=@)|(?<=:)(?=[\w+-]+[:/])|(?<=[<~>-])(?=[=>-])", re.IGNORECASE
)


def escape_markdown(text: str) -> str:
    """Markdown that shows exactly this text, on one line: no link, image, colour, icon, formula or list comes of it."""
    one_line = " ".join(text.split())
    return _PUNCTUATION.sub(r"\\\1", _REPLACED_LATER.sub(WORD_JOINER, one_line))
