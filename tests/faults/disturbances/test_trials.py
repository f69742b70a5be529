"""A few disturbances of the real system; `make faults` makes them all."""

import pytest

from tests.faults.disturbances.plan import Trial
from tests.faults.disturbances.stage import Stage
from tests.faults.disturbances.trial import make

SEED = 7
CHOICE = ("read_only", "postgres_refused")


@pytest.mark.long
@pytest.mark.xdist_group("faults")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", CHOICE)
def test_a_system_heals_by_itself_and_every_due_time_is_accounted_for(stage: Stage, kind: str) -> None:
    result = make(stage, Trial(kind, SEED, 1), commit="this")
    assert result.is_well, "\n".join([result.what, *result.found])
    assert result.due_times > 0
