from collections import Counter
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from flows.sharing import goes_first

WORKERS = st.sets(st.uuids(), min_size=1, max_size=8)


def first(run_id: UUID, workers: set[UUID]) -> list[UUID]:
    return [worker for worker in workers if goes_first(worker, run_id, workers)]


@given(run_id=st.uuids(), workers=WORKERS)
def test_all_workers_agree_on_one(run_id: UUID, workers: set[UUID]) -> None:
    assert len(first(run_id, workers)) == 1


@given(run_id=st.uuids(), workers=WORKERS, newcomer=st.uuids())
def test_who_comes_takes_from_the_others_and_moves_nothing_between_them(
    run_id: UUID, workers: set[UUID], newcomer: UUID
) -> None:
    assert first(run_id, workers | {newcomer}) in ([newcomer], first(run_id, workers))


@given(worker=st.uuids(), run_id=st.uuids())
def test_who_knows_of_nobody_goes_first(worker: UUID, run_id: UUID) -> None:
    assert goes_first(worker, run_id, set())


def test_the_shares_are_about_equal() -> None:
    workers = {uuid4() for _ in range(4)}
    shares = Counter(first(uuid4(), workers)[0] for _ in range(4000))
    assert all(800 < share < 1200 for share in shares.values())
