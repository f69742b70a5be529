"""How late tasks start, how many a second, at what cost: Duetime and others, on this machine, one after the other.

    make bench                                  everything, for hours
    make bench ARGS="--quick"                   a shorter form of all but the largest burst
    make bench ARGS="--only due rate --peers duetime yardstick"
    make bench ARGS="--repeat 3"                three rounds, and the medians of their figures

Everything is started on free ports of 127.0.0.1 in a temporary folder, and stopped again. The figures are printed as a
table and written as JSON; `python -m bench.report` writes docs/performance.md and its pictures from that.
"""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import psycopg

from bench import table
from bench.figures import medians
from bench.machine import machine
from bench.measuring import Bench, NotInTime, Result
from bench.peers.everybody import PEERS
from bench.peers.face import Peer, PeerFailed, Place, a_place
from bench.scenarios import Scenario, scenarios
from bench.summary import reasons, summary
from bench.work import Kind

JSON = Path("test-artefacts/bench.json")
# What `duetime up`, a server or a request says when it does not come up or does not answer in time.
FAILURES = (PeerFailed, AssertionError, OSError, subprocess.SubprocessError, httpx.HTTPError, psycopg.Error)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes, tens instead of thousands")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="scenarios whose names begin so")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS), metavar="NAME")
    parser.add_argument("--kinds", nargs="+", type=Kind, default=list(Kind), choices=list(Kind), metavar="KIND")
    parser.add_argument("--accelerator", choices=["on", "off", "both"], default="both", help="of Duetime")
    parser.add_argument("--up-to", type=int, default=30, help="the highest rate, in runs a second")
    parser.add_argument("--repeat", type=int, default=1, help="rounds; figures are their medians")
    parser.add_argument("--json", type=Path, default=JSON)
    chosen = parser.parse_args()
    left_out = {"on": "duetime-api", "off": "duetime", "both": None}[chosen.accelerator]
    chosen.peers = [name for name in chosen.peers if name != left_out]
    return chosen


class Round:
    """All scenarios against one peer after the other."""

    def __init__(self, place: Place, wanted: Sequence[Scenario]) -> None:
        self._bench = Bench(place.recorder)
        self._wanted = wanted

    def of(self, peer: Peer) -> Iterator[Result]:
        """A peer that lost runs starts the next scenario afresh; one that broke at a rate is given no higher one."""
        afresh, beyond_it = True, False
        try:
            for scenario in self._wanted:
                if beyond_it and scenario.is_rate:
                    continue
                _tidy(peer, afresh=afresh)
                result = self._measured(scenario, peer)
                yield result
                afresh = not result.is_whole or scenario.leaves_tasks
                beyond_it = beyond_it or (scenario.is_rate and result.broke)
        finally:
            peer.stop()

    def _measured(self, scenario: Scenario, peer: Peer) -> Result:
        try:
            return self._bench.measure(scenario, peer.title, peer)
        except NotInTime as error:
            return Result(peer.title, scenario.name, why=str(error))


def _tidy(peer: Peer, *, afresh: bool) -> None:
    if afresh:
        peer.stop()
        peer.start()
    else:
        peer.clear()


class Book:
    """What is written: after each scenario, so that an interrupted bench has lost nothing."""

    def __init__(self, path: Path, words: Sequence[str]) -> None:
        self._path = path
        self._found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._unmeasured: dict[tuple[str, str], str] = {}
        self._head = {"machine": machine(), "command": f"make bench ARGS='{' '.join(words)}'"}
        self._versions: dict[str, dict[str, str]] = {}

    def add(self, result: Result) -> None:
        if result.figures is None:
            self._unmeasured[result.scenario, result.peer] = result.why
        else:
            self._found.setdefault((result.scenario, result.peer), []).append(result.figures)
        self.write()
        print(f"   {said(result)}", flush=True)

    def has_versions(self, peer: Peer) -> None:
        self._versions[peer.title] = dict(peer.versions())

    def document(self) -> dict[str, Any]:
        found = [
            {"scenario": scenario, "peer": peer, "rounds": len(rounds), "figures": medians(rounds)}
            for (scenario, peer), rounds in self._found.items()
        ]
        others = [
            {"scenario": scenario, "peer": peer, "why": why} for (scenario, peer), why in self._unmeasured.items()
        ]
        return {**self._head, "versions": self._versions, "results": found + others}

    def write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.document(), indent=1) + "\n")


def main() -> None:
    chosen = options()
    wanted = scenarios(quick=chosen.quick, up_to=chosen.up_to, kinds=chosen.kinds, only=chosen.only)
    if not wanted:
        sys.exit("No scenario has such a name. `--help` names the options; the names are in bench/scenarios.py.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))  # so that what was started is stopped
    book = Book(chosen.json, sys.argv[1:])
    with a_place() as place:
        for number in range(chosen.repeat):
            for name in chosen.peers:
                print(f"-- round {number + 1} of {chosen.repeat}: {name}", flush=True)
                take(Round(place, wanted), PEERS[name](place), book)
    document = book.document()
    print("", table.plain(summary(document)), *reasons(document), sep="\n")
    print(f"\nWritten to {chosen.json}. `python -m bench.report {chosen.json}` makes docs/performance.md of it.")


def said(result: Result) -> str:
    """All figures of one result, in a line."""
    if result.figures is None:
        return f"{result.scenario}, {result.peer}: {result.why}"
    cells = zip(table.HEAD, table.row(asdict(result)), strict=True)
    return ", ".join(f"{name} {cell}" if name in table.NAMED else cell for name, cell in cells if cell)


def take(the_round: Round, peer: Peer, book: Book) -> None:
    cure = peer.missing()
    if cure is not None:
        book.add(Result(peer.title, "not measured", why=cure))
        return
    try:
        for result in the_round.of(peer):
            book.has_versions(peer)
            book.add(result)
    except FAILURES as error:
        book.add(Result(peer.title, "failed", why=str(error) or type(error).__name__))


if __name__ == "__main__":
    main()
