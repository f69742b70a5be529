"""Who is told of what happens: people through channels, and programs through webhooks, with what became of posts."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import time
from functools import partial
from typing import Any
from uuid import UUID

import streamlit as st

from dashboard import admin_commands, components, pauses, viewer
from dashboard.badges import Badge
from dashboard.components import Column
from dashboard.context import catalogue, now
from dashboard.failures import outage_shown
from dashboard.moments import in_full, moment
from dashboard.task_cards import card_title
from dashboard.text import escape_markdown
from dashboard.viewer import viewer_zone
from db import channels, webhooks
from db.access import Role
from db.channels import About
from db.notifications import Topic
from db.tables import Channel, Delivery, Webhook
from db.values import MAX_NAME

FRAGMENT = "messages_list"
LISTED = 20
SIGNING_KEY = "_signing_key"
TEST = {"key": "test", "icon": "run", "label": "Try it", "takes": Role.ADMIN}
CHANGE = {"key": "change", "icon": "edit", "label": "Change", "takes": Role.ADMIN}
REMOVE = {"key": "remove", "icon": "ban", "label": "Remove", "takes": Role.ADMIN}
AGAIN = {"key": "again", "icon": "restore", "label": "Post again", "takes": Role.ADMIN}
WORDS = {
    About.FAILED: "A run failed, crashed or took too long",
    About.RECOVERED: "A task is well again",
    About.LATE: "A run started late",
    About.MISSED: "A due time was missed, or nobody knows",
}
ADDRESSES = "https://github.com/caronc/apprise/wiki"
OFF = Badge("gray", "pause", "Off")


def page() -> None:
    """The page at `/messages`."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Messages", anchor=False, width="stretch")
        components.live([Topic.MESSAGES, Topic.RUNS], [FRAGMENT], key="messages_live")
    if not viewer.may(Role.ADMIN):
        st.info("Admins say who is told of what happens: addresses are as good as passwords.", icon=":material/lock:")
        return
    _list()


@st.fragment(key=FRAGMENT)
def _list() -> None:
    with outage_shown():
        with catalogue().transaction() as session:
            people, programs = channels.list_channels(session), webhooks.list_webhooks(session)
            posts = {each.id: webhooks.list_deliveries(session, each.id, limit=LISTED) for each in programs}
        _channels(people)
        _webhooks(programs, posts)


def _channels(found: Sequence[Channel]) -> None:
    by_id = {str(each.id): each for each in found}
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            card_title("People", "group")
            if viewer.pressed("Add a channel", takes=Role.ADMIN, icon=":material/add:", key="add_channel"):
                _channel_dialog(None)
        components.grid(
            [_channel_row(each) for each in found],
            [
                Column("name", "Channel", "title"),
                Column("about", "Of what", "prose"),
                Column("state", "State", "badges"),
                Column("sent", "Last message", "away"),
            ],
            key="channels_grid",
            label="Channels",
            cards=True,
            empty="Nobody is told. With a channel, people hear of failures by mail, chat or phone.",
            on_action=lambda channel_id, action: _act_on_channel(by_id[channel_id], action),
        )


def _channel_row(channel: Channel) -> dict[str, Any]:
    about = ", ".join(each for each in About if each in channel.about)
    after = f", after {channel.after_failures} in a row" if channel.after_failures > 1 else ""
    tags = f", tagged {', '.join(channel.tags)}" if channel.tags else ""
    quiet = f", quiet {channel.quiet_from:%H:%M}-{channel.quiet_to:%H:%M}" if channel.quiet_from else ""
    return {
        "id": str(channel.id),
        "name": {"text": channel.name},
        "about": f"{about}{after}{tags}{quiet}",
        "state": [asdict(_channel_badge(channel))],
        "sent": moment(channel.sent_at, viewer_zone()),
        "dim": not channel.enabled,
        "actions": [TEST, CHANGE, REMOVE],
    }


def _channel_badge(channel: Channel) -> Badge:
    if not channel.enabled:
        return OFF
    if channel.error:
        return Badge("red", "cross", "Not taken", channel.error)
    if channel.test_asked_at is not None:
        return Badge("blue", "clock", "On its way")
    if channels.is_quiet(channel, now()):
        return Badge("violet", "pause", "Quiet", "What happens now goes out at the end of the quiet hours.")
    return Badge("green", "check", "Ready")


def _act_on_channel(channel: Channel, action: str) -> None:
    match action:
        case "test":
            admin_commands.test_channel(channel.id)
        case "remove":
            admin_commands.remove_channel(channel.id)
        case _:
            _channel_dialog(channel)


@st.dialog("Channel", icon=":material/notifications:", width="large")
def _channel_dialog(channel: Channel | None) -> None:
    name = st.text_input("Name", channel.name if channel else "", key="channel_name", max_chars=MAX_NAME)
    address = st.text_input(
        "Address",
        type="password",
        key="channel_address",
        placeholder="mailto://user:password@example.org" if channel is None else "As it is",
        help=f"A URL of Apprise: mail, Slack, Teams, Telegram, ntfy and many more. {ADDRESSES}",
    )
    about = st.multiselect(
        "Of what",
        list(About),
        [About(each) for each in channel.about] if channel else list(channels.UNLESS_CHOSEN),
        key="channel_about",
        format_func=WORDS.__getitem__,
    )
    left, right = st.columns(2)
    after = left.number_input(
        "After so many failures in a row", 1, 1000, channel.after_failures if channel else 1, key="channel_after"
    )
    late = right.number_input(
        "Late from so many seconds on", 1, 86_400, channel.late_seconds if channel else 60, key="channel_late"
    )
    tags = st.text_input(
        "Only tasks with one of these tags", ", ".join(channel.tags or ()) if channel else "", key="channel_tags"
    )
    quiet = _quiet_hours(channel)
    enabled = st.checkbox("On", channel.enabled if channel else True, key="channel_enabled")
    if not pauses.confirm("Save", key="channel"):
        return
    if not (name or "").strip() or (channel is None and not address) or not about:
        st.error("Write a name and an address, and choose of what people are told.", icon=":material/error:")
        return
    words = [word for each in (tags or "").split(",") if (word := each.strip())]
    wish = channels.Wish(
        name=(name or "").strip(),
        address=address or None,
        about=about,
        after_failures=int(after),
        late_seconds=int(late),
        tags=words or None,
        quiet_from=quiet[0],
        quiet_to=quiet[1],
        timezone=channel.timezone if channel else viewer_zone(),
        enabled=enabled,
    )
    if admin_commands.save_channel(channel.id if channel else None, wish):
        st.rerun()


def _quiet_hours(channel: Channel | None) -> tuple[time | None, time | None]:
    zone = channel.timezone if channel else viewer_zone()
    on = st.checkbox(
        f"Quiet hours, {zone}",
        channel is not None and channel.quiet_from is not None,
        key="channel_quiet",
        help="What happens in them goes out at their end, in one message.",
    )
    if not on:
        return None, None
    left, right = st.columns(2)
    begin = left.time_input("From", (channel and channel.quiet_from) or time(22), key="channel_quiet_from")
    end = right.time_input("To", (channel and channel.quiet_to) or time(7), key="channel_quiet_to")
    return begin, end


def _webhooks(found: Sequence[Webhook], posts: dict[UUID, Sequence[Delivery]]) -> None:
    by_id = {str(each.id): each for each in found}
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            card_title("Programs", "webhook")
            if viewer.pressed("Add a webhook", takes=Role.ADMIN, icon=":material/add:", key="add_webhook"):
                _webhook_dialog(None)
        _signing_key()
        components.grid(
            [_webhook_row(each, posts[each.id]) for each in found],
            [
                Column("name", "Webhook", "title"),
                Column("types", "Events", "code"),
                Column("state", "Last post", "badges"),
            ],
            key="webhooks_grid",
            label="Webhooks",
            cards=True,
            empty="There are none. A webhook gets events as signed JSON.",
            on_action=lambda webhook_id, action: _act_on_webhook(by_id[webhook_id], action),
        )
    for webhook in found:
        if posts[webhook.id]:
            _posts(webhook, posts[webhook.id])


def _signing_key() -> None:
    key = st.session_state.get(SIGNING_KEY)
    if key:
        st.success("This key signs its posts. It is shown this once: copy it now.", icon=":material/key:")
        st.code(key, language=None)
        st.button("I have it", key="signing_key_copied", on_click=st.session_state.pop, args=(SIGNING_KEY, None))


def _webhook_row(webhook: Webhook, posts: Sequence[Delivery]) -> dict[str, Any]:
    return {
        "id": str(webhook.id),
        "name": {"text": webhook.name, "sub": webhook.url},
        "types": ", ".join(webhook.types) or "all",
        "state": [asdict(_webhook_badge(webhook, posts))],
        "dim": not webhook.enabled,
        "actions": [TEST, CHANGE, REMOVE],
    }


def _webhook_badge(webhook: Webhook, posts: Sequence[Delivery]) -> Badge:
    if not webhook.enabled:
        return OFF
    if webhook.probe_at is not None and webhook.failing_since is not None:
        since = in_full(webhook.failing_since, viewer_zone()).splitlines()[0]
        return Badge("red", "cross", "Does not answer", f"Since {since}. {webhook.error}")
    if webhook.error:
        return Badge("orange", "alert", "Errors", webhook.error)
    return _post_badge(posts[0]) if posts else Badge("gray", "clock", "None yet")


def _post_badge(post: Delivery) -> Badge:
    if post.delivered_at is not None:
        return Badge("green", "check", "Arrived", f"Answered {post.status}.")
    if post.next_at is None:
        return Badge("red", "cross", "Given up", post.error or "")
    if post.error:
        return Badge("orange", "clock", "Tried again later", post.error)
    return Badge("blue", "clock", "On its way")


def _act_on_webhook(webhook: Webhook, action: str) -> None:
    match action:
        case "test":
            admin_commands.ping_webhook(webhook.id)
        case "remove":
            admin_commands.remove_webhook(webhook.id)
        case _:
            _webhook_dialog(webhook)


def _posts(webhook: Webhook, posts: Sequence[Delivery]) -> None:
    with st.expander(f"Posts to {escape_markdown(webhook.name)}", key=f"posts_{webhook.id}"):
        components.grid(
            [_post_row(each) for each in posts],
            [
                Column("type", "Event", "code"),
                Column("state", "State", "badges"),
                Column("attempts", "Attempts", align="right"),
                Column("at", "Made", "away"),
                Column("why", "Why", "prose", spare=True),
            ],
            key=f"posts_grid_{webhook.id}",
            label=f"Posts to {webhook.name}",
            dense=True,
            cards=True,
            on_action=partial(_post_again, webhook.id),
        )


def _post_row(post: Delivery) -> dict[str, Any]:
    return {
        "id": str(post.id),
        "name": {"text": post.type},
        "type": post.type,
        "state": [asdict(_post_badge(post))],
        "attempts": str(post.attempts),
        "at": moment(post.created_at, viewer_zone()),
        "why": post.error or "",
        "rev": [post.attempts, post.status],
        "actions": [AGAIN],
    }


def _post_again(webhook_id: UUID, delivery_id: str, _action: str) -> None:
    admin_commands.send_again(webhook_id, int(delivery_id))


@st.dialog("Webhook", icon=":material/webhook:")
def _webhook_dialog(webhook: Webhook | None) -> None:
    name = st.text_input("Name", webhook.name if webhook else "", key="webhook_name", max_chars=MAX_NAME)
    url = st.text_input(
        "Address", webhook.url if webhook else "", key="webhook_url", placeholder="https://example.org/"
    )
    types = st.text_input(
        "Events",
        ", ".join(webhook.types) if webhook else "run.failed, run.crashed, run.timed_out",
        key="webhook_types",
        help="Such as run.failed or task.*, with commas between. Empty: all.",
    )
    enabled = st.checkbox("On", webhook.enabled if webhook else True, key="webhook_enabled")
    if not pauses.confirm("Save", key="webhook"):
        return
    words = [word for each in (types or "").split(",") if (word := each.strip())]
    if not (name or "").strip() or not (url or "").strip().startswith(("http://", "https://")):
        st.error("Write a name, and an address that begins with http:// or https://.", icon=":material/error:")
        return
    task_id = webhook.task_id if webhook else None
    wish = webhooks.Wish((name or "").strip(), (url or "").strip(), tuple(words), task_id, enabled)
    key = admin_commands.save_webhook(webhook.id if webhook else None, wish)
    if key is not None:
        st.session_state[SIGNING_KEY] = key or st.session_state.get(SIGNING_KEY)
        st.rerun()
