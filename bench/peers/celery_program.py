"""Celery's client: sends what is due once with an ETA, and what is to run now without."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime

from bench.peers.celery_app import run
from bench.peers.requests import Request, answer, parse
from tests.waiting import wait_until


def carry_out(request: Request) -> None:
    match request.verb:
        case "together":
            due = request.document["due"]
            for work in request.works:
                run.apply_async((asdict(work), str(due)), eta=datetime.fromtimestamp(due, UTC))
        case "run_now":
            for work in request.works:
                run.delay(asdict(work), "-")


def main() -> None:
    wait_until(lambda: run.app.control.ping(timeout=0.5, limit=1), "Celery's worker answers", seconds=60)
    answer()
    for line in sys.stdin:
        carry_out(parse(line))
        answer()


if __name__ == "__main__":
    main()
