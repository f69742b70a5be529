"""Webhooks: each event becomes one delivery, which is tried until it has arrived or was given up."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from db import deliveries, events, tasks, webhooks
from db.deliveries import RETRIED_AFTER, signature
from db.engine import Catalogue
from db.errors import NameTaken, WebhookNotFound
from db.sealing import Sealer, new_key
from db.specs import parse_task
from db.tables import Delivery, Webhook
from db.webhooks import Wish
from tests.db.conftest import NOW, document
from tests.waiting import until_told

SEALER = Sealer([new_key()])
URL = "https://example.org/hook"


def add(catalogue: Catalogue, name: str = "ci", **wish: object) -> UUID:
    with catalogue.transaction() as session:
        made, key = webhooks.add(session, Wish(name, URL, **wish), sealer=SEALER, actor="ada", now=NOW)  # type: ignore[arg-type]
        assert SEALER.open(made.signing_key) == key
        return made.id


def task(catalogue: Catalogue, name: str) -> UUID:
    with catalogue.transaction() as session:
        return tasks.create_task(session, parse_task(document(name=name)), actor="ada", now=NOW)


def make(catalogue: Catalogue) -> None:
    until_told(catalogue)
    with catalogue.transaction() as session:
        for webhook_id in deliveries.behind(session):
            deliveries.make(session, webhook_id, as_text=events.as_json, now=NOW)


def all_deliveries(catalogue: Catalogue) -> Sequence[Delivery]:
    with catalogue.transaction() as session:
        return session.scalars(select(Delivery).order_by(Delivery.id)).all()


def test_each_event_becomes_one_delivery_for_whoever_wants_it(catalogue: Catalogue) -> None:
    task(catalogue, "before")
    until_told(catalogue)
    add(catalogue, "all")
    first = task(catalogue, "first")
    until_told(catalogue)
    mine = add(catalogue, "mine", types=("task.*",), task_id=first)
    add(catalogue, "runs", types=("run.failed",))
    add(catalogue, "off", enabled=False)
    with catalogue.transaction() as session:
        tasks.pause_task(session, first, actor="ada", now=NOW)
    task(catalogue, "second")
    for _ in range(3):
        make(catalogue)
    found = all_deliveries(catalogue)
    assert [one.type for one in found if one.webhook_id == mine] == ["task.updated"]
    assert sorted(one.type for one in found) == ["task.created", "task.created", "task.updated", "task.updated"]
    assert len({(one.webhook_id, one.event_id) for one in found}) == 4
    assert '"task_name": "first"' in found[0].body


def test_a_delivery_is_tried_again_and_given_up_after_a_day(catalogue: Catalogue) -> None:
    add(catalogue)
    task(catalogue, "backup")
    make(catalogue)
    present, waited = NOW, timedelta()
    for number in range(len(RETRIED_AFTER) + 1):
        with catalogue.transaction() as session:
            probing = number >= deliveries.ERRORS_IN_A_ROW
            (parcel,) = deliveries.take_due(session, probing=probing, limit=10, now=present)
            assert deliveries.take_due(session, probing=probing, limit=10, now=present) == []
            assert parcel.attempts == number + 1
            deliveries.failed(session, parcel, status=500, error="Answered 500.", now=present)
        if number < len(RETRIED_AFTER):
            present += RETRIED_AFTER[number]
            waited += RETRIED_AFTER[number]
    (one,) = all_deliveries(catalogue)
    assert (one.next_at, one.delivered_at, one.status, one.error) == (None, None, 500, "Answered 500.")
    assert timedelta(hours=12) < waited <= timedelta(hours=25)
    with catalogue.transaction() as session:
        webhooks.send_again(session, one.webhook_id, one.id, now=present)
        (parcel,) = deliveries.take_due(session, limit=10, now=present)
        deliveries.arrived(session, parcel, 204, now=present)
        with pytest.raises(WebhookNotFound):
            webhooks.send_again(session, uuid4(), one.id, now=present)
    (one,) = all_deliveries(catalogue)
    assert (one.next_at, one.delivered_at, one.status, one.error) == (None, present, 204, None)


def test_what_somebody_took_and_never_brought_is_tried_by_another(catalogue: Catalogue) -> None:
    add(catalogue)
    task(catalogue, "backup")
    make(catalogue)
    with catalogue.transaction() as session:
        assert len(deliveries.take_due(session, limit=10, now=NOW)) == 1
    with catalogue.transaction() as session:
        assert deliveries.take_due(session, limit=10, now=NOW + timedelta(seconds=59)) == []
        assert len(deliveries.take_due(session, limit=10, now=NOW + timedelta(seconds=60))) == 1


def test_who_was_off_does_not_get_what_happened_meanwhile(catalogue: Catalogue) -> None:
    webhook = add(catalogue, enabled=False)
    task(catalogue, "meanwhile")
    until_told(catalogue)
    with catalogue.transaction() as session:
        webhooks.change(session, webhook, Wish("ci", URL), actor="ada", now=NOW)
    task(catalogue, "after")
    make(catalogue)
    assert ["after" in one.body for one in all_deliveries(catalogue)] == [True]


def test_who_was_away_for_longer_than_events_are_kept_goes_on_from_now(catalogue: Catalogue) -> None:
    add(catalogue)
    task(catalogue, "forgotten")
    until_told(catalogue)
    with catalogue.transaction() as session:
        session.execute(update(Webhook).values(xid=0, number=0))
    with catalogue.transaction() as session:
        events.forget(session, before=NOW + timedelta(days=365), limit=100)
    make(catalogue)
    assert all_deliveries(catalogue) == []
    task(catalogue, "new")
    make(catalogue)
    assert len(all_deliveries(catalogue)) == 1


def test_names_are_taken_once_and_old_deliveries_are_removed(catalogue: Catalogue) -> None:
    webhook = add(catalogue)
    with catalogue.transaction() as session, pytest.raises(NameTaken):
        webhooks.add(session, Wish("ci", URL), sealer=SEALER, actor="ada", now=NOW)
    with catalogue.transaction() as session:
        webhooks.ping(session, webhook, now=NOW)
        (parcel,) = deliveries.take_due(session, limit=1, now=NOW)
        deliveries.arrived(session, parcel, 200, now=NOW)
        webhooks.ping(session, webhook, now=NOW)
    with catalogue.transaction() as session:
        deliveries.forget(session, before=NOW + timedelta(days=1))
    assert [one.delivered_at for one in all_deliveries(catalogue)] == [None]


def test_a_post_is_signed_so_that_others_can_check_it() -> None:
    assert signature("key", '{"a": 1}', at=NOW.replace(microsecond=1)) == signature("key", '{"a": 1}', at=NOW)
    assert signature("key", '{"a": 1}', at=NOW) != signature("key", '{"a": 2}', at=NOW)
    second, _, digest = signature("key", "{}", at=NOW).partition(",")
    assert second == f"t={int(NOW.timestamp())}"
    assert len(digest.removeprefix("v1=")) == 64


def test_what_is_refused_keeps_nothing_else_from_being_made(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "WAITING_AT_MOST", 3)
    monkeypatch.setattr(deliveries, "REFUSED_COUNT_AS_ONE", 4)
    add(catalogue)
    made = [0]
    for number in range(20):
        task(catalogue, f"task {number}")
        make(catalogue)
        with catalogue.transaction() as session:
            for parcel in deliveries.take_due(session, limit=10, now=NOW):
                deliveries.failed(session, parcel, status=404, error="Answered 404.", now=NOW)
        made.append(len(all_deliveries(catalogue)))
    assert made[4:10] == list(range(4, 10)), "more than wait at most without having been tried"
    assert made[-1] < 20, "but not without end"
