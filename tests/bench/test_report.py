from typing import Any
from xml.etree import ElementTree

import pytest

from bench import plots, table
from bench.report import BEGIN, END, drawn, replaced, results, together
from bench.summary import reasons, summary


def measured(scenario: str, peer: str, **more: Any) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "expected": 20,
        "started": 20,
        "lost": 0,
        "doubled": 0,
        "min": 0.002,
        "p50": 0.004,
        "p95": 0.005,
    }
    figures |= {"p99": 0.02, "max": 0.2, "per_second": 1.0, "cpu_ms": {"worker": 4.0, "commands": 9.0}}
    return {"scenario": scenario, "peer": peer, "rounds": 1, "figures": {**figures, **more}}


def document(*found: dict[str, Any]) -> dict[str, Any]:
    return {
        "machine": {"when": "today"},
        "command": "make bench",
        "versions": {"A": {"a": "1"}},
        "results": list(found),
    }


def cell(found: dict[str, Any], line: str, peer: str) -> str:
    head, *lines = summary(found)
    return next(each for each in lines if each[0] == line)[list(head).index(peer)]


def test_peers_are_columns_and_scenarios_are_lines() -> None:
    found = document(measured("every-second", "A"), measured("due-60", "A"), measured("every-second", "B", p50=3.0))
    assert list(summary(found)[0]) == ["", "A", "B"]
    assert cell(found, "every-second: p50 / p99", "A") == "4.0 ms / 20.0 ms"
    assert cell(found, "every-second: p50 / p99", "B") == "3000 ms / 20.0 ms"
    assert cell(found, "every-second: CPU a run", "A") == "4 ms", "without the commands"
    assert cell(found, "due-60: last start", "A") == "200 ms"
    assert cell(found, "due-60: last start", "B") == "-"


def test_lost_doubled_and_early_runs_are_beside_the_figure() -> None:
    found = document(measured("every-second", "A", lost=2, started=18, doubled=1, min=-0.1))
    assert cell(found, "every-second: p50 / p99", "A").endswith("(18 of 20 started, 1 twice, some early)")


def test_prefect_s_records_have_a_line_where_somebody_has_them() -> None:
    records = {"complete_seconds": 3.25, "completed": 20, "wrong": 0, "off_p99": 0.1}
    found = document(measured("due-60", "A", prefect=records), measured("due-60", "B"))
    assert cell(found, "due-60: complete in Prefect", "A") == "3.2 s (its starts off by 100 ms)"
    assert cell(found, "due-60: complete in Prefect", "B") == ""
    found = document(measured("due-60", "A", prefect={**records, "complete_seconds": None, "wrong": 2}))
    assert cell(found, "due-60: complete in Prefect", "A").startswith("not yet: 20, 2 wrong")


def test_the_highest_rate_kept_is_the_one_before_the_first_that_broke() -> None:
    rates = [measured("rate-10", "A"), measured("rate-20", "A"), measured("rate-30", "A", lost=1, started=19)]
    found = document(*rates, measured("rate-10", "B", p99=2.0), measured("rate-10", "C"))
    assert cell(found, "highest rate kept", "A") == "20/s, not 30/s"
    assert cell(found, "highest rate kept", "B") == "less than 10/s"
    assert cell(found, "highest rate kept", "C") == "10/s"


def test_a_peer_that_was_not_measured_has_its_column_and_its_cure() -> None:
    missing = {"scenario": "not measured", "peer": "B", "why": "No redis-server."}
    found = document(measured("every-second", "A"), missing)
    assert cell(found, "every-second: p50 / p99", "B") == "-"
    assert reasons(found) == ["B: not measured. No redis-server."]
    assert "No redis-server." in results(found, {})


def test_several_measurements_are_taken_together_by_their_medians() -> None:
    lost = {"scenario": "due-60", "peer": "A", "why": "not within 60 s"}
    documents = [
        document(measured("due-60", "A", p50=0.1), measured("every-second", "A")),
        document(measured("due-60", "A", p50=0.9), lost),
        document(measured("due-60", "A", p50=0.2), measured("due-60", "B")),
    ]
    found = together(documents)
    first = found["results"][0]
    assert (first["figures"]["p50"], first["rounds"]) == (0.2, 3)
    assert [(each["scenario"], each["peer"]) for each in found["results"]] == [
        ("due-60", "A"),
        ("every-second", "A"),
        ("due-60", "B"),
    ]
    assert together([document(lost)])["results"] == [lost]


def test_the_page_is_changed_between_its_marks_only() -> None:
    page = f"before {BEGIN}\nold\n{END} after"
    assert replaced(page, "new") == f"before {BEGIN}\nnew\n{END} after"
    assert replaced(replaced(page, "one"), "two") == replaced(page, "two")


def test_all_figures_are_in_the_page() -> None:
    found = document(measured("due-60", "A"), measured("rate-10", "A"))
    text = results(found, {"x.svg": "a picture"})
    assert "| due-60 | A | 20 of 20 |" in text
    assert "![a picture](images/x.svg)" in text


def test_a_table_has_a_cell_for_each_head() -> None:
    rows = table.rows(document(measured("due-60", "A")))
    assert {len(row) for row in rows} == {len(table.HEAD)}


@pytest.mark.parametrize("scenario", ["every-second", "run-now", "due-60", "due-300", "due-1000", "rate-10"])
def test_each_picture_is_sound_and_names_each_peer(scenario: str) -> None:
    nothing = {"started": 0, "lost": 20, "min": None, "p50": None, "p99": None, "max": None}
    found = document(measured(scenario, "A & B"), measured(scenario, "C"), measured(scenario, "D", **nothing))
    pictures = drawn(found)
    assert pictures
    for _, svg in pictures.values():
        words = [each.text for each in ElementTree.fromstring(svg).iter() if each.text]  # noqa: S314 - our own
        assert {"A & B", "C"} <= set(words)


def test_bars_are_as_long_as_their_parts() -> None:
    svg = ElementTree.fromstring(plots.stacks("", [("A", {"x": 1.0, "y": 3.0}), ("B", {"x": 2.0})]))  # noqa: S314
    bars = [float(bar.attrib["width"]) for bar in svg.iter() if bar.attrib.get("rx")]
    assert bars[1] == pytest.approx(3 * bars[0], rel=0.01)
    assert bars[2] == pytest.approx(2 * bars[0], rel=0.01)
