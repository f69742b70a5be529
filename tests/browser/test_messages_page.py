"""Who is told of what happens, set up in a browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from db import channels, webhooks
from tests.browser.reading import open_page, row
from tests.browser.world import HOSTILE, World

pytestmark = pytest.mark.xdist_group("browser")


def test_a_channel_is_added_tried_changed_and_removed(page: Page, world: World) -> None:
    open_page(page, "/messages", "Messages")
    expect(page.get_by_text("Nobody is told.")).to_be_visible()
    page.get_by_role("button", name="Add a channel").click()
    dialog = page.get_by_role("dialog", name="Channel")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("Write a name and an address")).to_be_visible()
    dialog.get_by_role("textbox", name="Name").fill("night watch")
    dialog.get_by_role("textbox", name="Address").fill("json://127.0.0.1:9/")
    dialog.get_by_role("textbox", name="Only tasks").fill("ops, web")
    dialog.get_by_text("Quiet hours, Europe/Berlin").click()
    expect(dialog.get_by_role("group", name="From")).to_be_visible()
    dialog.get_by_role("button", name="Save").click()
    found = row(page, "Channels", "night watch")
    expect(found).to_contain_text("failed, recovered, missed, tagged ops, web, quiet 22:00-07:00")
    page.get_by_role("button", name="Try it: night watch").click()
    expect(found).to_contain_text("On its way")
    (kept,) = world.do(channels.list_channels)
    assert b"json" not in kept.address
    page.get_by_role("button", name="Remove: night watch").click()
    expect(page.get_by_text("Nobody is told.")).to_be_visible()


def test_a_webhook_shows_its_key_once_and_what_became_of_its_posts(page: Page, world: World) -> None:
    open_page(page, "/messages", "Messages")
    page.get_by_role("button", name="Add a webhook").click()
    dialog = page.get_by_role("dialog", name="Webhook")
    dialog.get_by_role("textbox", name="Name").fill(HOSTILE)
    dialog.get_by_role("textbox", name="Address").fill("https://example.org/hook")
    dialog.get_by_role("button", name="Save").click()
    key = page.locator("code", has_text=re.compile("^whsec_"))
    expect(key).to_be_visible()
    page.get_by_role("button", name="I have it").click()
    expect(key).to_have_count(0)
    found = row(page, "Webhooks", HOSTILE[:20])
    expect(found).to_contain_text("run.crashed, run.failed, run.timed_out")
    page.get_by_role("button", name=re.compile("^Try it: ")).click()
    expect(found).to_contain_text("On its way")
    (kept,) = world.do(webhooks.list_webhooks)
    assert kept.types == ["run.crashed", "run.failed", "run.timed_out"]
