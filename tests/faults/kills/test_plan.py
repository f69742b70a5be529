"""What a seed decides."""

from itertools import islice, pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.kills.plan import ROUND, Calm, ChangeKind, Freeze, Kill, KillEverything, Target, changes, disturbances

seeds, counts = st.integers(0, 1000), st.integers(1, 250)


@given(seeds, counts)
def test_there_are_exactly_as_many_kills_as_were_asked_for(seed: int, kills: int) -> None:
    steps = disturbances(seed, kills)
    assert sum(isinstance(step.action, Kill | KillEverything) for step in steps) == kills


@given(seeds, counts)
def test_every_round_ends_with_the_kill_of_everything_and_a_calm(seed: int, kills: int) -> None:
    actions = [step.action for step in disturbances(seed, kills)]
    assert sum(isinstance(one, KillEverything) for one in actions) == -(-kills // ROUND)
    followers = [after for one, after in pairwise(actions) if isinstance(one, KillEverything)]
    assert all(isinstance(one, Calm) for one in followers)
    assert isinstance(actions[-1], Calm)


@given(seeds)
def test_the_same_seed_is_the_same_campaign_and_another_one_is_not(seed: int) -> None:
    assert disturbances(seed, 40) == disturbances(seed, 40)
    assert disturbances(seed, 40) != disturbances(seed + 1, 40)
    assert list(islice(changes(seed), 50)) == list(islice(changes(seed), 50))
    assert list(islice(changes(seed), 50)) != list(islice(changes(seed + 1), 50))


@given(seeds)
def test_every_part_is_killed_and_stopped_in_a_full_campaign(seed: int) -> None:
    actions = [step.action for step in disturbances(seed, 200)]
    assert {one.targets[0] for one in actions if isinstance(one, Kill)} == set(Target)
    freezes = [one for one in actions if isinstance(one, Freeze)]
    assert len({one.targets[0] for one in freezes}) >= 4
    assert all(1 <= one.seconds <= 45 for one in freezes)


@given(seeds)
def test_a_full_campaign_takes_about_forty_minutes(seed: int) -> None:
    steps = disturbances(seed, 200)
    planned = sum(step.wait_seconds for step in steps)
    planned += sum(step.action.seconds for step in steps if isinstance(step.action, Calm))
    planned += sum(step.action.down_seconds for step in steps if isinstance(step.action, KillEverything))
    assert 25 * 60 < planned < 42 * 60


@given(seeds)
def test_changes_of_every_kind_keep_coming(seed: int) -> None:
    assert {change.kind for change in islice(changes(seed), 200)} == set(ChangeKind)
