"""A short campaign against the real system: some kills, the last one of everything at once."""

import pytest

from tests.faults.disturbances.stage import Stage
from tests.faults.kills.campaign import Campaign
from tests.faults.report import table

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("faults"), pytest.mark.timeout(1800)]
KILLS, SEED = 4, 189


def test_after_some_kills_every_due_time_is_accounted_for_and_the_audit_agrees_with_the_files(stage: Stage) -> None:
    result = Campaign(stage.system, stage.home / "kills.lines", kills=KILLS, seed=SEED).run()
    assert result.kills.total() == KILLS
    assert result.evidence is not None
    assert {row.outcome for row in result.evidence.rows} >= {"ran", "skipped"}
    found = "\n".join(map(str, result.discrepancies))
    assert not result.discrepancies, f"{found}\n\n{table(result, 'make test')}"
