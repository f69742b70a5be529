"""What the buttons do that concern all: accounts, keys, secrets, webhooks, channels and calendars."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from dashboard.attempts import OWN_PASSWORDS
from dashboard.doing import perform
from dashboard.viewer import visitor
from db import accounts, calendars, channels, keys, secrets, tasks, webhooks
from db.access import Role, Visitor
from db.closures import Entries
from db.sealing import sealer


def add_account(name: str, *, role: Role, tags: Sequence[str] | None, password: str) -> bool:
    """Whether they may come in now."""

    def command(session: Session, at: datetime, by: str) -> bool:
        accounts.add(session, name, role=role, tags=tags, password=password, actor=by, now=at)
        return True

    return bool(perform(Role.ADMIN, command, "They may sign in now."))


def change_account(account_id: UUID, *, role: Role, tags: Sequence[str] | None, disabled: bool) -> bool:
    """Whether it is so now."""

    def command(session: Session, at: datetime, by: str) -> bool:
        accounts.change(session, account_id, role=role, tags=tags, disabled=disabled, actor=by, now=at)
        return True

    return bool(perform(Role.ADMIN, command, "Changed."))


def set_password(account_id: UUID, password: str) -> bool:
    """Whether it is the password now."""

    def command(session: Session, at: datetime, by: str) -> bool:
        accounts.set_password(session, account_id, password, actor=by, now=at)
        return True

    return bool(perform(Role.ADMIN, command, "They have another password, and are signed in nowhere."))


def remove_account(account_id: UUID) -> None:
    perform(Role.ADMIN, lambda session, at, by: accounts.remove(session, account_id, actor=by, now=at), "Removed.")


def change_own_password(me: Visitor, current: str, password: str) -> None:
    """Of whoever looks at the page; it says so where `current` is not theirs."""

    def command(session: Session, at: datetime, by: str) -> None:
        with OWN_PASSWORDS.of(me.name):
            accounts.change_own_password(session, me, current, password, actor=by, now=at)

    perform(Role.VIEWER, command, "Changed. Sign in again.")


def make_key(name: str, *, role: Role, tags: Sequence[str] | None, expires_at: datetime | None) -> str | None:
    """The key itself."""
    maker = visitor()

    def command(session: Session, at: datetime, by: str) -> str:
        given: dict[str, Any] = {"role": role, "tags": tags, "expires_at": expires_at}
        return keys.make(session, name, **given, maker=maker, actor=by, now=at)[1]

    return perform(Role.VIEWER, command, "")


def revoke_key(key_id: UUID) -> None:
    by_whom = visitor()
    perform(Role.VIEWER, lambda session, at, by: keys.revoke(session, key_id, by=by_whom, actor=by, now=at), "Revoked.")


def put_secret(name: str, value: str) -> bool:
    """Whether it is kept now."""

    def command(session: Session, at: datetime, by: str) -> bool:
        secrets.put(session, name, value, sealer=sealer(), actor=by, now=at)
        return True

    return bool(perform(Role.ADMIN, command, "Kept. It is not shown again."))


def remove_secret(name: str) -> None:
    perform(Role.ADMIN, lambda session, at, by: secrets.remove(session, name, actor=by, now=at), "Removed.")


def save_webhook(webhook_id: UUID | None, wish: webhooks.Wish) -> str | None:
    """The key by which a new one signs; empty for one that was there; None where it is not saved."""

    def command(session: Session, at: datetime, by: str) -> str:
        if webhook_id is None:
            return webhooks.add(session, wish, sealer=sealer(), actor=by, now=at)[1]
        webhooks.change(session, webhook_id, wish, actor=by, now=at)
        return ""

    return perform(Role.ADMIN, command, "Saved.")


def remove_webhook(webhook_id: UUID) -> None:
    perform(Role.ADMIN, lambda session, at, by: webhooks.remove(session, webhook_id, actor=by, now=at), "Removed.")


def ping_webhook(webhook_id: UUID) -> None:
    perform(Role.ADMIN, lambda session, at, _: webhooks.ping(session, webhook_id, now=at), "A post is on its way.")


def send_again(webhook_id: UUID, delivery_id: int) -> None:
    """Posts an event once more."""

    def command(session: Session, at: datetime, _by: str) -> None:
        webhooks.send_again(session, webhook_id, delivery_id, now=at)

    perform(Role.ADMIN, command, "It is posted again.")


def save_channel(channel_id: UUID | None, wish: channels.Wish) -> bool:
    """Whether it is saved."""

    def command(session: Session, at: datetime, by: str) -> bool:
        if channel_id is None:
            channels.add(session, wish, sealer=sealer(), actor=by, now=at)
        else:
            channels.change(session, channel_id, wish, sealer=sealer(), actor=by, now=at)
        return True

    return bool(perform(Role.ADMIN, command, "Saved."))


def remove_channel(channel_id: UUID) -> None:
    perform(Role.ADMIN, lambda session, at, by: channels.remove(session, channel_id, actor=by, now=at), "Removed.")


def test_channel(channel_id: UUID) -> None:
    perform(
        Role.ADMIN,
        lambda session, at, _: channels.ask_for_test(session, channel_id, now=at),
        "A message is on its way.",
    )


def save_calendar(name: str, entries: Entries, *, seen_version: int | None) -> bool:
    """Whether it is saved; a new one where no version was seen."""

    def command(session: Session, at: datetime, by: str) -> bool:
        if seen_version is None:
            calendars.add(session, name, entries, actor=by, now=at)
        else:
            tasks.change_calendar(session, name, entries, seen_version=seen_version, actor=by, now=at)
        return True

    return bool(perform(Role.ADMIN, command, "Saved."))


def remove_calendar(name: str) -> None:
    perform(Role.ADMIN, lambda session, at, by: calendars.remove(session, name, actor=by, now=at), "Removed.")
