"""What machine the figures are of."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psutil


def machine() -> dict[str, str]:
    gibibytes = psutil.virtual_memory().total / 2**30
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "memory": f"{gibibytes:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "commit": commit(),
    }


def processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def commit() -> str:
    """The checkout's, with a + when it has changes; `?` outside of a checkout."""
    said = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False)
    return said.stdout.strip() or "?"
