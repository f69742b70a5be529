"""Masks: values that nobody is to read are hidden in texts, and in streams of text however they are cut.

Everything is masked before it is cut: half of a value cannot be recognised any more. Like what a zygote loads for its
children, this needs the standard library only.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

MASK = "***"
LEAST = 4
"""Characters: what is shorter would be found everywhere."""
FEW = 40
"""So many forms are looked for one after the other, which is quicker; more of them all at once."""
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_IN_QUERIES, _IN_PATHS = (_PRINTABLE.translate({ord(each): None for each in unsafe}) for unsafe in ('"#<>', '"#<>?`{}'))
"""What HTTP clients leave as it is in the parts of a URL."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Hides values, also as they look in a URL, in JSON, HTML or Python's own words, and their single lines."""

    forms: frozenset[str] = frozenset()
    _by_start: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    """By their first characters, one to LEAST of them."""
    _longest: int = 0

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Mask":
        forms = frozenset(form for value in values.values() for form in _forms(value) if len(form) >= LEAST)
        by_start = defaultdict[str, list[str]](list)
        for form in forms:
            for length in range(1, LEAST + 1):
                by_start[form[:length]].append(form)
        return cls(forms, dict(by_start), max(map(len, forms), default=0))

    def __call__(self, said: str) -> str:
        """The whole of a text."""
        stream = Masking(self)
        return stream.feed(said) + stream.close()

    def spans(self, text: str) -> list[tuple[int, int]]:
        """What is to be hidden of a text; values that overlap are hidden together."""
        found = self._one_by_one(text) if len(self.forms) <= FEW else self._at_once(text)
        return list(_merged(sorted(found)))

    def _one_by_one(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self.forms:
            yield from _found(form, text)

    def _at_once(self, text: str) -> Iterator[tuple[int, int]]:
        for begin in range(len(text) - LEAST + 1):
            for form in self._by_start.get(text[begin : begin + LEAST], ()):
                if text.startswith(form, begin):
                    yield begin, begin + len(form)

    def undecided(self, text: str) -> int:
        """Where the first form begins that may be completed by what follows the text; its length where none does."""
        length = len(text)
        for begin in range(max(0, length - self._longest + 1), length):
            for form in self._by_start.get(text[begin : begin + LEAST], ()):
                if len(form) > length - begin and form.startswith(text[begin:]):
                    return begin
        return length


NOTHING = Mask()


class Masking:
    """A stream of text with the values hidden; it holds back less than the longest of them.

    What comes out does not depend on how the stream was cut into pieces.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = ""
        self._hidden = 0
        """Of what is held: the end of something whose beginning was hidden already."""

    def feed(self, text: str) -> str:
        """What can be shown after this piece."""
        if not self._mask.forms:
            return text
        held = self._held + text
        return self._shown(held, until=self._mask.undecided(held))

    def close(self) -> str:
        """The rest."""
        return self._shown(self._held, until=len(self._held))

    def _shown(self, text: str, *, until: int) -> str:
        begun = [(0, self._hidden)] if self._hidden else []
        shown, at = [], 0
        for begin, end in _merged([*begun, *self._mask.spans(text)]):
            is_begun = begun and begin == 0
            if begin >= until and not is_begun:
                break
            shown += [] if is_begun else [text[at:begin], MASK]
            at = end
        shown.append(text[min(at, until) : until])
        self._held, self._hidden = text[until:], max(0, at - until)
        return "".join(shown)


def _found(form: str, text: str) -> Iterator[tuple[int, int]]:
    begin, length = text.find(form), len(form)
    while begin >= 0:
        end, following = begin + length, text.find(form, begin + 1)
        while 0 <= following < end:
            end, following = following + length, text.find(form, following + 1)
        yield begin, end
        begin = following


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans in order, of which those that overlap are one."""
    begin = end = 0
    for other_begin, other_end in spans:
        if other_begin >= end:
            if end > begin:
                yield begin, end
            begin = other_begin
        end = max(end, other_end)
    if end > begin:
        yield begin, end


def _forms(value: str) -> set[str]:
    """How a value may be printed: all of it, with either kind of line break, encoded, or a line of it."""
    unix = value.replace("\r\n", "\n")
    whole = {value, unix, unix.replace("\n", "\r\n"), value.strip()}
    return {*map(str.strip, value.splitlines()), *(form for each in whole for form in _encoded(each))}


def _encoded(value: str) -> set[str]:
    urls = {quote(value, safe=safe) for safe in ("/", "", _IN_QUERIES, _IN_PATHS)} | {quote_plus(value)}
    quoted = repr(value)[1:-1]
    words = {quoted, quoted.replace("'", "\\'"), ascii(value)[1:-1], repr(value.encode(errors="replace"))[2:-1]}
    json_texts = {json.dumps(value, ensure_ascii=only_ascii)[1:-1] for only_ascii in (True, False)}
    return {value, *urls, *map(_lower_hex, urls), *words, *json_texts, *_html(value)}


def _lower_hex(url: str) -> str:
    first, *rest = url.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])


def _html(value: str) -> set[str]:
    text = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    quotes = (("&quot;", "&#x27;"), ("&#34;", "&#39;"), ("&quot;", "'"))
    return {text, *(text.replace('"', double).replace("'", single) for double, single in quotes)}
