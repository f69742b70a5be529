"""A short campaign against the real system: ten kills, the last one of everything at once."""

import tempfile
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign
from tests.faults.report import table

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("faults"), pytest.mark.timeout(1800)]
KILLS, SEED = 10, 7


def test_after_ten_kills_every_due_time_is_accounted_for_and_the_audit_agrees_with_the_files() -> None:
    with tempfile.TemporaryDirectory(prefix="duetime-faults-") as name:
        home = Path(name)
        home.chmod(0o755)  # as root PostgreSQL runs as another user
        result = Campaign(home, kills=KILLS, seed=SEED).run()
    assert result.kills.total() == KILLS
    assert result.evidence is not None
    assert {row.outcome for row in result.evidence.rows} >= {"ran", "skipped"}
    found = "\n".join(map(str, result.discrepancies))
    assert not result.discrepancies, f"{found}\n\n{table(result, 'make test')}"
