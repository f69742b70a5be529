"""The table of a campaign goes into a document, also where there is none yet."""

from pathlib import Path

import pytest

from tests.faults.report import BEGIN, END, rewrite


def test_a_new_document_is_made_and_an_old_one_keeps_its_words(tmp_path: Path) -> None:
    document = tmp_path / "reliability.md"
    rewrite(document, "first")
    assert document.read_text() == f"{BEGIN}\nfirst\n{END}\n"
    document.write_text(f"before\n{document.read_text()}after\n")
    rewrite(document, "second")
    assert document.read_text() == f"before\n{BEGIN}\nsecond\n{END}\nafter\n"


def test_a_document_without_a_place_is_left_as_it_is(tmp_path: Path) -> None:
    document = tmp_path / "other.md"
    document.write_text("words\n")
    with pytest.raises(ValueError, match="no place"):
        rewrite(document, "table")
    assert document.read_text() == "words\n"
