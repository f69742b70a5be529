"""Who may come in, with what, and what they may do: oneself, API keys, and to admins everybody's accounts."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import admin_commands, components, pauses, viewer
from dashboard.badges import Badge
from dashboard.components import Column
from dashboard.context import catalogue, now
from dashboard.doorman import MAX_NAME
from dashboard.failures import outage_shown
from dashboard.moments import moment
from dashboard.prefect_auth import AUTH_FILE, WHO_NEEDS_IT, how_to_have_it
from dashboard.task_cards import card_title
from dashboard.text import escape_markdown
from dashboard.viewer import viewer_zone, visitor
from db import accounts, keys, secrets
from db.access import MIN_PASSWORD, Role, Visitor
from db.notifications import Topic
from db.secrets import Listed
from db.tables import Account, ApiKey

FRAGMENT = "access_list"
CHANGE = {"key": "change", "icon": "edit", "label": "Change", "takes": Role.ADMIN}
REMOVE = {"key": "remove", "icon": "ban", "label": "Remove", "takes": Role.ADMIN}
REPLACE = {"key": "replace", "icon": "edit", "label": "Replace", "takes": Role.ADMIN}
REVOKE = {"key": "revoke", "icon": "ban", "label": "Revoke"}
MEANINGS = {
    Role.VIEWER: "looks at everything",
    Role.OPERATOR: "also runs, cancels, pauses and resumes",
    Role.EDITOR: "also creates, edits and deletes tasks",
    Role.ADMIN: "also says who may do what",
}
YOURS = {
    Role.VIEWER: "looks at everything",
    Role.OPERATOR: "looks at everything, runs, cancels, pauses and resumes",
    Role.EDITOR: "looks at and runs everything, creates, edits and deletes tasks",
    Role.ADMIN: "may do everything",
}
LASTS = {"For 30 days": 30, "For 90 days": 90, "For a year": 365, "Until it is revoked": None}
SECRET = "_made_key"  # noqa: S105 - where it is, not what it is


def page() -> None:
    """The page at `/access`."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Access", anchor=False, width="stretch")
        components.live([Topic.ACCESS], [FRAGMENT], key="access_live")
    _list()


@st.fragment(key=FRAGMENT)
def _list() -> None:
    with outage_shown():
        by = visitor()
        _you(by)
        _keys(by)
        _secrets(by)
        if by.role is Role.ADMIN:
            _accounts(by)


def _you(by: Visitor) -> None:
    with st.container(border=True, gap="small"):
        card_title("You", "person")
        if not by.name:
            st.markdown("Nobody has to sign in on this machine, and everybody here is **admin**.")
            return
        tags = f", for tasks tagged {escape_markdown(', '.join(sorted(by.tags)))}" if by.tags is not None else ""
        st.markdown(f"**{escape_markdown(by.name)}**, {by.role}: {YOURS[by.role]}{tags}.")
        with st.container(horizontal=True):
            st.link_button("Sign out", "/sign-out", icon=":material/logout:")
            if by.account_id is not None and viewer.pressed("Change password", takes=Role.VIEWER, key="own_password"):
                _own_password_dialog(by)


def _keys(by: Visitor) -> None:
    with catalogue().transaction() as session:
        found = keys.list_keys(session, by=by)
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            card_title("API keys", "key")
            if viewer.pressed("Make a key", takes=Role.VIEWER, icon=":material/add:", key="make_key"):
                _key_dialog(by)
        _secret()
        components.grid(
            [_key_row(key, owner) for key, owner in found],
            [
                Column("name", "Key", "title"),
                Column("rights", "May", "prose"),
                Column("used", "Last use", "away"),
                Column("expires", "Expires", "away"),
                Column("owner", "Owner", "muted"),
            ],
            key="keys_grid",
            label="API keys",
            cards=True,
            empty="There are none. Programs send one as `Authorization: Bearer`.",
            on_action=lambda key_id, _action: admin_commands.revoke_key(UUID(key_id)),
        )


def _secret() -> None:
    """The key that was made last, once."""
    secret = st.session_state.get(SECRET)
    if secret is None:
        return
    st.success("This is the key. It is shown this once: copy it now.", icon=":material/key:")
    st.code(secret, language=None)
    st.button("I have it", key="key_copied", on_click=st.session_state.pop, args=(SECRET, None))


def _key_row(key: ApiKey, owner: str | None) -> dict[str, Any]:
    zone = viewer_zone()
    return {
        "id": str(key.id),
        "name": {"text": key.name, "sub": f"{key.hint}…"},
        "rights": _rights(Role(key.role), key.tags),
        "used": moment(key.used_at, zone),
        "expires": moment(key.expires_at, zone),
        "owner": owner or "the first account's, once there is one",
        "dim": key.expires_at is not None and key.expires_at <= now(),
        "actions": [REVOKE],
    }


def _rights(role: Role, tags: Sequence[str] | None) -> str:
    return f"{role}" if tags is None else f"{role}, tags {', '.join(tags)}"


def _secrets(by: Visitor) -> None:
    with catalogue().transaction() as session:
        found = secrets.list_secrets(session)
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            card_title("Secrets", "lock")
            if by.role is Role.ADMIN and viewer.pressed(
                "Set a secret", takes=Role.ADMIN, icon=":material/add:", key="set_secret"
            ):
                _secret_dialog()
        st.markdown("A task names one as `${secret:NAME}`. Only workers see its value, and logs show `***` instead.")
        components.grid(
            [_secret_row(each) for each in found],
            [
                Column("name", "Secret", "title"),
                Column("used", "Named by", "muted"),
                Column("at", "Set", "away"),
                Column("by", "By", "muted"),
            ],
            key="secrets_grid",
            label="Secrets",
            cards=True,
            empty="There are none.",
            on_action=_act_on_secret,
        )


def _secret_row(secret: Listed) -> dict[str, Any]:
    return {
        "id": secret.name,
        "name": {"text": secret.name},
        "used": "1 task" if secret.used_by == 1 else f"{secret.used_by:,} tasks",
        "at": moment(secret.updated_at, viewer_zone()),
        "by": secret.updated_by,
        "actions": [REPLACE, REMOVE],
    }


def _act_on_secret(name: str, action: str) -> None:
    if action == REPLACE["key"]:
        _secret_dialog(name)
    else:
        admin_commands.remove_secret(name)


@st.dialog("Set a secret", icon=":material/lock:")
def _secret_dialog(name: str = "") -> None:
    chosen = st.text_input("Name", name, key="secret_name", max_chars=100, disabled=bool(name), placeholder="API_TOKEN")
    value = st.text_area("Value", key="secret_value", help="It is never shown again.")
    if pauses.confirm("Keep it", key="secret") and admin_commands.put_secret(
        name or (chosen or "").strip(), value or ""
    ):
        st.rerun()


def _accounts(by: Visitor) -> None:
    with catalogue().transaction() as session:
        found = accounts.list_accounts(session)
    by_id = {str(each.id): each for each in found}
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            card_title("Accounts", "group")
            if viewer.pressed("Let somebody in", takes=Role.ADMIN, icon=":material/person_add:", key="add_account"):
                _add_dialog(is_first=not found)
        components.grid(
            [_account_row(each, by) for each in found],
            [
                Column("name", "Account", "title"),
                Column("rights", "May", "prose"),
                Column("state", "State", "badges"),
                Column("seen", "Last sign-in", "away"),
            ],
            key="accounts_grid",
            label="Accounts",
            cards=True,
            empty="There are none. With the first one, everybody has to sign in.",
            on_action=lambda account_id, action: _act(by_id[account_id], action),
        )


def _account_row(account: Account, by: Visitor) -> dict[str, Any]:
    state = Badge("gray", "ban", "Disabled") if account.disabled else Badge("green", "check", "Active")
    return {
        "id": str(account.id),
        "name": {"text": account.name, "sub": "" if account.password_hash else "signs in at the identity provider"},
        "rights": _rights(Role(account.role), account.tags),
        "state": [asdict(state)],
        "seen": moment(account.signed_in_at, viewer_zone()),
        "dim": account.disabled,
        "actions": [CHANGE] if account.id == by.account_id else [CHANGE, REMOVE],
    }


def _act(account: Account, action: str) -> None:
    if action == CHANGE["key"]:
        _change_dialog(account)
    else:
        admin_commands.remove_account(account.id)


@st.dialog("Let somebody in", icon=":material/person_add:")
def _add_dialog(*, is_first: bool) -> None:
    if is_first:
        st.info(
            "From then on everybody has to sign in, and programs need a key. The first account is an admin's, and keys "
            "that were made until now become theirs."
        )
        st.markdown(WHO_NEEDS_IT)
        st.code(how_to_have_it(os.environ.get(AUTH_FILE, "")), language=None, wrap_lines=True)
    name = st.text_input("Name", key="account_name", max_chars=MAX_NAME)
    role, tags = (Role.ADMIN, None) if is_first else _rights_fields("account", Role.VIEWER, None)
    password = st.text_input("Password", type="password", key="account_password", help=_at_least())
    if not pauses.confirm("Let in", key="account") or not _is_written(name):
        return
    if admin_commands.add_account((name or "").strip(), role=role, tags=tags, password=password or ""):
        st.rerun()


@st.dialog("What they may do", icon=":material/edit:")
def _change_dialog(account: Account) -> None:
    st.markdown(f"**{escape_markdown(account.name)}**")
    role, tags = _rights_fields("change", Role(account.role), account.tags)
    disabled = st.checkbox("Disabled: may not come in", value=account.disabled, key="change_disabled")
    password = st.text_input(
        "New password", type="password", key="change_password", help=f"Empty: as it is. {_at_least()}"
    )
    if not pauses.confirm("Save", key="change"):
        return
    done = admin_commands.change_account(account.id, role=role, tags=tags, disabled=disabled)
    if done and password:
        done = admin_commands.set_password(account.id, password)
    if done:
        st.rerun()


@st.dialog("Change your password", icon=":material/password:")
def _own_password_dialog(by: Visitor) -> None:
    current = st.text_input("Password until now", type="password", key="password_current")
    password = st.text_input("Password from now on", type="password", key="password_new", help=_at_least())
    st.caption("You are signed out everywhere.")
    if pauses.confirm("Change it", key="password"):
        admin_commands.change_own_password(by, current or "", password or "")


@st.dialog("Make a key", icon=":material/key:")
def _key_dialog(by: Visitor) -> None:
    name = st.text_input("What it is for", key="key_name", max_chars=MAX_NAME, placeholder="deploy pipeline")
    role, tags = _rights_fields("key", Role.VIEWER, None, most=by.role)
    lasts = st.selectbox("It is good", list(LASTS), index=1, key="key_lasts")
    days = LASTS[lasts]
    expires_at = None if days is None else _end_of(now().astimezone(ZoneInfo(viewer_zone())).date(), days)
    if pauses.confirm("Make it", key="key") and _is_written(name):
        secret = admin_commands.make_key((name or "").strip(), role=role, tags=tags, expires_at=expires_at)
        if secret is not None:
            st.session_state[SECRET] = secret
            st.rerun()


def _end_of(today: date, days: int) -> datetime:
    return datetime.combine(today + timedelta(days=days + 1), time(0), ZoneInfo(viewer_zone()))


def _rights_fields(
    key: str, role: Role, tags: Sequence[str] | None, *, most: Role = Role.ADMIN
) -> tuple[Role, list[str] | None]:
    choices = [each for each in Role if most.includes(each)]
    chosen = st.selectbox(
        "Role",
        choices,
        index=choices.index(role),
        key=f"{key}_role",
        format_func=lambda each: f"{each.capitalize()}: {MEANINGS[each]}",
    )
    if chosen is Role.ADMIN:
        return chosen, None
    text = st.text_input(
        "Only tasks with one of these tags",
        ", ".join(tags or ()),
        key=f"{key}_tags",
        max_chars=500,
        help="May run and change only these; commas between them. Empty: all tasks.",
    )
    words = [word for each in (text or "").split(",") if (word := each.strip())]
    return chosen, words or None


def _is_written(name: str | None) -> bool:
    """Whether there is a name; it says so where there is none."""
    if name and name.strip():
        return True
    st.error("Write a name.", icon=":material/error:")
    return False


def _at_least() -> str:
    return f"At least {MIN_PASSWORD} characters."
