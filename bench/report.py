"""Writes what was measured into docs/performance.md, and its pictures: `python -m bench.report [bench.json ...]`.

Several files are taken together: what was measured in more than one of them is shown by its median.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import plots, table
from bench.__main__ import JSON
from bench.figures import medians
from bench.summary import reasons, summary

PAGE = Path("docs/performance.md")
IMAGES = PAGE.parent / "images"
_FILE = re.compile(r" --json [^\s'\"]+")
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def results(document: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The part of the page that is made from the figures. Pure."""
    machine = document["machine"]
    facts = [f"- {name}: {value}" for name, value in machine.items()]
    peers = [f"- {peer}: {_listed(found)}" for peer, found in document["versions"].items()]
    images = [f"![{title}](images/{name})" for name, title in pictures.items()]
    rounds = max((each["rounds"] for each in document["results"] if "rounds" in each), default=1)
    said = f"`{document['command']}`" + (f", medians of {rounds:g} rounds" if rounds > 1 else ", one round") + ":"
    short = table.markdown(summary(document))
    why = [f"- {reason}" for reason in reasons(document)]
    whole = ["<details><summary>All figures</summary>", "", table.markdown(table.rows(document)), "", "</details>"]
    parts = [[said], facts, ["Versions:"], peers, [short], why, *([image] for image in images), whole]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def together(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was measured at several times as one document: figures are medians, commands are listed. Pure."""
    first = documents[0]
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for document in documents:
        for each in document["results"]:
            found.setdefault((each["scenario"], each["peer"]), []).append(each)
    commands = dict.fromkeys(_FILE.sub("", document["command"]) for document in documents)
    versions = {peer: told for document in documents for peer, told in document["versions"].items()}
    results = [_median(each) for each in found.values()]
    return {**first, "command": "` and `".join(commands), "versions": versions, "results": results}


def _median(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    measured = [each for each in found if "figures" in each]
    if not measured:
        return dict(found[0])
    rounds = sum(each["rounds"] for each in measured)
    return {**measured[0], "rounds": rounds, "figures": medians([each["figures"] for each in measured])}


def drawn(document: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Name, title and SVG of each picture that there are figures for. Pure."""
    found = {}
    for scenario, title in [("every-second", "One run a second"), ("run-now", "Run now")]:
        if rows := plots.delays(document, scenario):
            title = f"{title}: start delay, median to 99th percentile"
            found[f"performance-{scenario}.svg"] = (title, plots.ranges(title, rows))
    for scenario in ("due-60", "due-300", "due-1000"):
        if rows := plots.bursts(document, scenario):
            title = f"{scenario.partition('-')[2]} runs due in the same second: from the first start to the last"
            found[f"performance-{scenario}.svg"] = (title, plots.ranges(title, rows))
    for scenario, title in [("rate-10", "Ten runs a second"), ("due-300", "300 runs due together")]:
        if stacks := plots.costs(document, scenario):
            title = f"{title}: CPU a run, in milliseconds"
            found[f"performance-cpu-{scenario}.svg"] = (title, plots.stacks(title, stacks))
    return found


def replaced(page: str, new: str) -> str:
    """The page with that between its two marks. Pure."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def main() -> None:
    document = together([json.loads(Path(name).read_text()) for name in sys.argv[1:] or [str(JSON)]])
    pictures = drawn(document)
    for name, (_, svg) in pictures.items():
        (IMAGES / name).write_text(svg)
    titles = {name: title for name, (title, _) in pictures.items()}
    PAGE.write_text(replaced(PAGE.read_text(), results(document, titles)))
    print(f"Wrote {PAGE} and {len(pictures)} pictures in {IMAGES}.")


if __name__ == "__main__":
    main()
