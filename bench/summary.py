"""The results in one table: a line for each scenario, a column for each peer. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.scenarios import broke
from bench.table import Row, off, prefect, seconds

UNMEASURED = frozenset({"not measured", "failed"})
"""In the place of a scenario, where there is a reason instead of figures."""
BURST, RATE = "due-", "rate-"

Figures = Mapping[str, Any]
Found = Mapping[tuple[str, str], Figures]


def summary(document: Mapping[str, Any]) -> list[Row]:
    """Its first line is the head."""
    results = document["results"]
    found = {(each["scenario"], each["peer"]): each["figures"] for each in results if "figures" in each}
    peers = list(dict.fromkeys(each["peer"] for each in results))
    names = list(dict.fromkeys(each["scenario"] for each in results if each["scenario"] not in UNMEASURED))
    lines = [line for name in names for line in _lines(found, name, peers)]
    if rates := [name for name in names if name.startswith(RATE)]:
        lines.append(["highest rate kept", *(_kept(found, peer, rates) for peer in peers)])
    return [["", *peers], *lines]


def reasons(document: Mapping[str, Any]) -> list[str]:
    """Why there are no figures where there are none."""
    return [f"{each['peer']}: {each['scenario']}. {each['why']}" for each in document["results"] if "why" in each]


def _lines(found: Found, name: str, peers: Sequence[str]) -> list[Row]:
    kinds: list[tuple[str, Callable[[Figures], str]]]
    if name.startswith(BURST):
        kinds = [(f"{name}: last start", _last), (f"{name}: complete in Prefect", _complete)]
    else:
        kinds = [(f"{name}: p50 / p99", _delay)]
    kinds.append((f"{name}: CPU a run", _cpu))
    lines = [[words, *(_cell(found.get((name, peer)), show) for peer in peers)] for words, show in kinds]
    return [line for line in lines if any(cell not in {"", "-"} for cell in line[1:])]


def _cell(figures: Figures | None, show: Callable[[Figures], str]) -> str:
    return "-" if figures is None else show(figures)


def _delay(figures: Figures) -> str:
    return f"{seconds(figures['p50'])} / {seconds(figures['p99'])}" + _amiss(figures)


def _last(figures: Figures) -> str:
    return seconds(figures["max"]) + _amiss(figures)


def _complete(figures: Figures) -> str:
    records = figures.get("prefect")
    return prefect(records) + (f" (its starts off by {off(records)})" if records else "")


def _cpu(figures: Figures) -> str:
    """Without the commands."""
    return f"{sum(ms for part, ms in figures['cpu_ms'].items() if part != 'commands'):.0f} ms"


def _amiss(figures: Figures) -> str:
    """What nobody may overlook."""
    lost = [f"{figures['started']:g} of {figures['expected']:g} started"] if figures["lost"] else []
    doubled = [f"{figures['doubled']:g} twice"] if figures["doubled"] else []
    early = ["some early"] if figures["min"] is not None and figures["min"] < 0 else []
    amiss = lost + doubled + early
    return f" ({', '.join(amiss)})" if amiss else ""


def _kept(found: Found, peer: str, rates: Sequence[str]) -> str:
    """The highest rate at which nothing was lost and 99 of 100 runs were less than a second late."""
    kept = "-"
    for name in rates:
        figures = found.get((name, peer))
        if figures is None:
            continue
        if broke(figures["lost"], figures["p99"]):
            return f"less than {_rate(name)}" if kept == "-" else f"{kept}, not {_rate(name)}"
        kept = _rate(name)
    return kept


def _rate(name: str) -> str:
    return f"{name.removeprefix(RATE)}/s"
