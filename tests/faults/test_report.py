"""The tables of a campaign go into a document, also where there is none yet."""

from pathlib import Path

import pytest

from tests.faults.report import DISTURBANCES, RESULT, marks, rewrite


@pytest.mark.parametrize("place", [RESULT, DISTURBANCES])
def test_a_new_document_is_made_and_an_old_one_keeps_its_words(tmp_path: Path, place: str) -> None:
    document, (begin, end) = tmp_path / "reliability.md", marks(place)
    rewrite(document, "first", place=place)
    assert document.read_text() == f"{begin}\nfirst\n{end}\n"
    document.write_text(f"before\n{document.read_text()}after\n")
    rewrite(document, "second", place=place)
    assert document.read_text() == f"before\n{begin}\nsecond\n{end}\nafter\n"


def test_a_document_without_a_place_is_left_as_it_is(tmp_path: Path) -> None:
    document = tmp_path / "other.md"
    document.write_text("words\n")
    with pytest.raises(ValueError, match="no place"):
        rewrite(document, "table", place=RESULT)
    assert document.read_text() == "words\n"
