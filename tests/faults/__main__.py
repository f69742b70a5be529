"""A bounded, seeded fault campaign against systems of its own, on loopback: many kills, then disturbances one by one.

    python -m tests.faults [--kills 200] [--trials 2] [--seed 1] [--only KIND...] [--resume] [--report FILE] [--keep]

`--only kills` makes the first part alone, and `--only read_only` trials of this kind alone. What each trial came to is
written down at once: with `--resume` a campaign that was stopped goes on after it. The exit code is 0 when nothing was
found, and 1 otherwise. Systems are in temporary folders, which are removed unless something was found or `--keep` is
given.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults import report
from tests.faults.console import say
from tests.faults.disturbances.kinds.registry import KINDS
from tests.faults.disturbances.measuring.results import ResultsFile, still_to_make
from tests.faults.disturbances.measuring.table import table
from tests.faults.disturbances.plan import plan
from tests.faults.disturbances.runner import Runner
from tests.faults.kills.campaign import Campaign
from tests.system import System

KILLS = "kills"
RESULTS = Path("test-artefacts/faults")


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped before the end: no verdict."))  # and stop the system
    options.results.mkdir(parents=True, exist_ok=True)
    parts = {}
    if options.only is None or KILLS in options.only:
        parts[report.RESULT] = _kill
    if options.only != [KILLS]:
        parts[report.DISTURBANCES] = _disturb
    for place in parts if options.report else ():
        report.rewrite(options.report, "This is being measured.", place=place)  # or it fails now, and not in the end
    return int(sum(part(options) for part in parts.values()) > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="A bounded, seeded fault campaign.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--trials", type=int, default=2, help="of each kind of disturbance")
    parser.add_argument("--seed", type=int, default=1)
    words = f"these parts alone: {KILLS}, {', '.join(KINDS)}"
    parser.add_argument("--only", choices=[KILLS, *KINDS], nargs="+", metavar="KIND", help=words)
    parser.add_argument("--resume", action="store_true", help="leave out what there are results of")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"the folder of the results (default: {RESULTS})")
    parser.add_argument("--accelerator", choices=["on", "off"], default="on", help="of the workers (default: on)")
    parser.add_argument("--report", type=Path, help="a document whose tables are rewritten")
    parser.add_argument("--keep", action="store_true", help="keep the systems' folders in any case")
    return parser.parse_args()


def _kill(options: argparse.Namespace) -> bool:
    """Whether anything was found. A verdict of this version that found nothing is not asked for again."""
    verdict: Path = options.results / "kills.md"
    if options.resume and verdict.exists() and f"commit {report.commit()}," in verdict.read_text():
        say(f"there is a verdict of the kills: {verdict}")
        return False
    home = _folder()
    system = System(home / "data", options=("--workers", "2"), environment={"DUETIME_ACCELERATOR": options.accelerator})
    try:
        result = Campaign(system.start(), home / "lines", kills=options.kills, seed=options.seed).run()
    finally:
        system.kill_everything()
    text = report.table(result, _command(options, f"--only {KILLS} --kills {options.kills}"))
    _tell(options, text, report.RESULT)
    sys.stdout.write("".join(f"{one}\n" for one in result.discrepancies))
    if not result.discrepancies:
        verdict.write_text(text)
    if result.discrepancies or options.keep:
        say(f"kept: {home}")
    else:
        shutil.rmtree(home)
    return bool(result.discrepancies)


def _disturb(options: argparse.Namespace) -> bool:
    """Whether anything was found, in trials that were made before too."""
    kinds = [kind for kind in KINDS if options.only is None or kind in options.only]
    trials, file = plan(kinds, seed=options.seed, of_each=options.trials), ResultsFile(options.results / "trials.jsonl")
    if not options.resume:
        file.begin_anew()
    commit = report.commit()
    runner = Runner(commit, accelerator=options.accelerator, keep=options.keep)
    for result in runner.run(still_to_make(trials, file.read(), commit=commit)):
        file.add(result)
    results = [result for result in file.read() if result.commit == commit and result.trial in trials]
    what = f"--only {' '.join(kinds)} --trials {options.trials}" if options.only else f"--trials {options.trials}"
    head = report.head(_command(options, what), sum(one.took_seconds for one in results))
    _tell(options, f"{head}\n\n{table(results)}", report.DISTURBANCES)
    for one in results:
        sys.stdout.write("".join(f"{one.trial.id}: {found}\n" for found in one.found))
    for folder in runner.kept:
        say(f"kept: {folder}")
    return any(one.found for one in results)


def _folder() -> Path:
    home = Path(tempfile.mkdtemp(prefix="duetime-faults-"))
    home.chmod(0o755)  # as root PostgreSQL runs as another user
    return home


def _command(options: argparse.Namespace, what: str) -> str:
    off = " --accelerator off" if options.accelerator == "off" else ""
    return f"make faults ARGS='{what} --seed {options.seed}{off}'"


def _tell(options: argparse.Namespace, text: str, place: str) -> None:
    sys.stdout.write(f"\n{text}\n\n")
    if options.report is not None:
        report.rewrite(options.report, text, place=place)


if __name__ == "__main__":
    sys.exit(main())
