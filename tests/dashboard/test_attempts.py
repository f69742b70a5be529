"""Attempts at passwords are counted, however many come at once."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event, Lock

import pytest

from dashboard import attempts
from dashboard.attempts import OF_ADDRESS, OF_NAME, SUBJECTS_AT_MOST, Attempts, OwnPasswords, Turns, subjects_of
from db import passwords
from db.errors import TryAgainLater, WrongPassword
from tests.waiting import wait_until

HERE = {"address 10.0.0.1": OF_ADDRESS}


def fail(counted: Attempts, subjects: dict[str, int], *, now: float = 0.0) -> None:
    with counted.one(subjects, now=now) as attempt:
        attempt.failed = True


def test_after_ten_that_failed_an_address_waits_a_minute() -> None:
    counted = Attempts()
    for _ in range(OF_ADDRESS):
        fail(counted, HERE)
    with pytest.raises(TryAgainLater) as refused:
        fail(counted, HERE, now=20)
    assert refused.value.wait_seconds == 41
    fail(counted, HERE, now=61)


def test_what_succeeds_or_breaks_does_not_count() -> None:
    counted = Attempts()
    for _ in range(3 * OF_ADDRESS):
        with counted.one(HERE, now=0):
            pass
        with suppress(RuntimeError), counted.one(HERE, now=0):
            raise RuntimeError
    assert counted._under_way == {}


@pytest.mark.parametrize("is_guess", [True, False])
def test_many_at_once_try_no_more_than_one_by_one(is_guess: bool) -> None:
    counted, go_on, lock, begun = Attempts(), Event(), Lock(), []

    def attempt(number: int) -> int:
        try:
            with counted.one(HERE, now=0, is_guess=is_guess) as this:
                with lock:
                    begun.append(number)
                go_on.wait(20)
                this.failed = True
        except TryAgainLater as refused:
            return refused.wait_seconds
        return 0

    with ThreadPoolExecutor(60) as threads:
        waits = [threads.submit(attempt, number) for number in range(60)]
        expected = OF_ADDRESS if is_guess else 60
        wait_until(lambda: len(begun) + sum(wait.done() for wait in waits) == 60, "all to be tried or refused")
        go_on.set()
        refused = [wait.result() for wait in waits if wait.result()]
    assert len(begun) == expected
    assert set(refused) <= {attempts.UNDER_WAY_SECONDS}


def test_only_so_many_subjects_are_remembered() -> None:
    counted = Attempts()
    for number in range(SUBJECTS_AT_MOST + 1):
        for _ in range(OF_ADDRESS):
            fail(counted, {f"address {number}": OF_ADDRESS})
    fail(counted, {"address 0": OF_ADDRESS})
    with pytest.raises(TryAgainLater):
        fail(counted, {"address 2": OF_ADDRESS})


def test_an_address_of_ipv6_counts_as_its_network() -> None:
    assert subjects_of(name="", address="2001:db8:1:2::3") == subjects_of(name="", address="2001:db8:1:2:ffff::9%eth0")
    assert subjects_of(name="", address="2001:db8:1:2::3") != subjects_of(name="", address="2001:db8:1:3::3")
    assert subjects_of(name="", address="::ffff:10.0.0.1") == subjects_of(name="", address="10.0.0.1")
    assert subjects_of(name="Ada", address="") == {"address ": OF_ADDRESS, "name ada": OF_NAME}


def test_those_who_bring_the_same_wait_for_each_other_and_not_too_many_do() -> None:
    turns, go_on, inside = Turns(), Event(), []

    def come(key: bytes) -> str:
        try:
            with turns.of(key):
                inside.append(key)
                go_on.wait(20)
        except TryAgainLater:
            return "refused"
        return "came"

    with ThreadPoolExecutor(60) as threads:
        came = [threads.submit(come, b"one") for _ in range(40)]
        wait_until(lambda: sum(one.done() for one in came) == 40 - attempts.WAITING_AT_MOST, "the others to be refused")
        assert inside == [b"one"]
        go_on.set()
        assert [one.result() for one in came].count("came") == attempts.WAITING_AT_MOST
    assert turns._locks == {}


def test_the_password_that_is_said_again_cannot_be_guessed() -> None:
    guessed = OwnPasswords()
    for _ in range(OF_ADDRESS):
        with pytest.raises(WrongPassword), guessed.of("Ada"):
            raise WrongPassword
    with pytest.raises(TryAgainLater), guessed.of("ada"):
        pytest.fail("it is not even looked at")


def test_few_passwords_are_hashed_at_once_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, lock, hashing = Event(), Lock(), []

    class Slow:
        def hash(self, password: str) -> str:
            with lock:
                hashing.append(password)
            go_on.wait(20)
            return "hash"

    monkeypatch.setattr(passwords, "_HASHER", Slow())

    def one(number: int) -> str:
        try:
            return passwords.hashed(f"a password, number {number}")
        except TryAgainLater as refused:
            return str(refused)

    most = passwords.AT_ONCE + passwords.WAITING_AT_MOST
    with ThreadPoolExecutor(30) as threads:
        done = [threads.submit(one, number) for number in range(30)]
        wait_until(lambda: sum(each.done() for each in done) == 30 - most, "the others to be refused")
        assert len(hashing) == passwords.AT_ONCE
        go_on.set()
        assert [each.result() for each in done].count("hash") == most
