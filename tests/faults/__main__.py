"""A bounded, seeded fault campaign against a system of its own, on loopback.

    python -m tests.faults [--kills 200] [--seed 1] [--accelerator off] [--report FILE] [--keep]

The exit code is 0 when nothing was found, and 1 otherwise. Everything is in a temporary folder, which is removed
unless something was found or `--keep` is given.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults.campaign import Campaign, Result, say
from tests.faults.report import rewrite, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="A bounded, seeded fault campaign.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accelerator", choices=["on", "off"], default="on", help="of the workers (default: on)")
    parser.add_argument("--report", type=Path, help="a document whose table is rewritten")
    parser.add_argument("--keep", action="store_true", help="keep the system's folder in any case")
    options = parser.parse_args()
    if options.report is not None:
        rewrite(options.report, "This is being measured.")  # what cannot be written is known before, and not afterwards
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped before the end: no verdict."))  # and stop the system
    home = Path(tempfile.mkdtemp(prefix="duetime-faults-"))
    home.chmod(0o755)  # as root PostgreSQL runs as another user
    campaign = Campaign(home, kills=options.kills, seed=options.seed, accelerator=options.accelerator)
    result = campaign.run()
    off = " --accelerator off" if options.accelerator == "off" else ""
    _tell(result, f"make faults ARGS='--kills {options.kills} --seed {options.seed}{off}'", options.report)
    if result.discrepancies or options.keep:
        say(f"kept: {home}")
    else:
        shutil.rmtree(home)
    return 1 if result.discrepancies else 0


def _tell(result: Result, command: str, report: Path | None) -> None:
    text = table(result, command)
    sys.stdout.write(f"\n{text}\n\n")
    for one in result.discrepancies:
        sys.stdout.write(f"{one}\n")
    if report is not None:
        rewrite(report, text)


if __name__ == "__main__":
    sys.exit(main())
