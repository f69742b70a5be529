"""Changes sent around a due time, against a system of its own.

    python -m tests.faults.around_due [--trials 100] [--seed 1] [--at-once 20]

Makes this many trials of each operation. The exit code is 0 when every one of them came out as the order of its commits
says, and 1 otherwise.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.around_due.trials import run_trials, tell
from tests.faults.console import say
from tests.system import System


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.around_due", description="Changes around a due time.")
    parser.add_argument("--trials", type=int, default=100, help="of each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="duetime-around-due-") as name:
        home = Path(name)
        home.chmod(0o755)  # as root PostgreSQL runs as another user
        system = System(home / "data", options=("--workers", "2")).start()
        try:
            say("ready")
            lines, of_each = home / "lines", options.trials
            verdicts = run_trials(system, lines, seed=options.seed, of_each=of_each, at_once=options.at_once)
        finally:
            system.stop()
    sys.stdout.write("\n| change | trials | what became of the due time | wrong |\n|---|---|---|---|\n")
    tell(verdicts, sys.stdout.write)
    return 1 if any(one.wrong for one in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
