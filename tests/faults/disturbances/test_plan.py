"""What a seed decides."""

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.disturbances.kinds.registry import KINDS
from tests.faults.disturbances.plan import plan

seeds = st.integers(0, 1000)


@given(seeds)
def test_each_kind_comes_once_before_any_comes_again(seed: int) -> None:
    trials = plan(list(KINDS), seed=seed, of_each=3)
    for number in range(3):
        part = trials[number * len(KINDS) : (number + 1) * len(KINDS)]
        assert {trial.kind for trial in part} == set(KINDS)
        assert {trial.number for trial in part} == {number + 1}


@given(seeds)
def test_the_same_seed_is_the_same_campaign_and_one_kind_alone_has_the_same_trials(seed: int) -> None:
    everything = plan(list(KINDS), seed=seed, of_each=2)
    assert everything == plan(list(KINDS), seed=seed, of_each=2)
    assert everything != plan(list(KINDS), seed=seed + 1, of_each=2)
    alone = plan(["read_only"], seed=seed, of_each=2)
    assert [trial for trial in everything if trial.kind == "read_only"] == alone


@given(seeds)
def test_a_trial_draws_the_same_disturbance_each_time(seed: int) -> None:
    for trial in plan(list(KINDS), seed=seed, of_each=1):
        disturbance = KINDS[trial.kind](trial.luck())
        assert disturbance == KINDS[trial.kind](trial.luck())
        assert 3 <= disturbance.seconds <= 75
