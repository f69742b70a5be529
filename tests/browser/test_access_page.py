"""Signing in, accounts and keys in a browser. Each reader has a context of its own: cookies are not shared."""

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from db import accounts
from db.access import Role
from tests.browser.conftest import DESKTOP, Dashboard
from tests.browser.reading import open_choices, open_page, row, rows
from tests.browser.world import World, now

pytestmark = pytest.mark.xdist_group("browser")

PASSWORD = "correct horse battery"
Reader = Callable[[], Page]


@pytest.fixture
def reader(browser: Browser, dashboard: Dashboard, world: World) -> Iterator[Reader]:
    """Another person at another machine, as often as it is called; nobody has an account afterwards."""
    contexts = []

    def read() -> Page:
        contexts.append(browser.new_context(base_url=dashboard.url, viewport=DESKTOP, timezone_id="Europe/Berlin"))
        return contexts[-1].new_page()

    yield read
    for context in contexts:
        context.close()
    world.empty()


def let_in(world: World, name: str, role: Role, tags: list[str] | None = None) -> None:
    world.do(
        lambda session: accounts.add(session, name, role=role, tags=tags, password=PASSWORD, actor="root", now=now())
    )


def sign_in(page: Page, name: str, path: str = "/today") -> Page:
    page.goto(path)
    page.get_by_role("textbox", name="Name").fill(name)
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", level=1).filter(has_not_text="Sign in").wait_for()
    return page


def choose(dialog: Locator, page: Page, label: str, option: str) -> None:
    open_choices(page, dialog.get_by_role("combobox", name=label))
    page.get_by_role("option", name=re.compile(option)).click()


def test_the_first_account_closes_the_door_to_everybody_else(reader: Reader, world: World) -> None:
    mine, theirs = reader(), reader()
    open_page(theirs, "/tasks", "Tasks")
    open_page(mine, "/access", "Access")
    expect(mine.get_by_text("Nobody has to sign in on this machine")).to_be_visible()
    mine.get_by_role("button", name="Let somebody in").click()
    dialog = mine.get_by_role("dialog", name="Let somebody in")
    expect(dialog.get_by_text("workers on other machines, the prefect CLI")).to_be_visible()
    expect(dialog.get_by_text("export PREFECT_API_AUTH_STRING=")).to_be_visible()
    dialog.get_by_role("textbox", name="Name").fill("Ada")
    dialog.get_by_role("textbox", name="Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Let in").click()
    expect(theirs.get_by_role("heading", name="Sign in to Duetime")).to_be_visible()
    expect(mine.get_by_role("heading", name="Sign in to Duetime")).to_be_visible()
    sign_in(mine, "ada", "/access")
    expect(mine.get_by_text("Ada, admin")).to_be_visible()
    expect(row(mine, "Accounts", "Ada")).to_contain_text("Active")
    assert world.do(accounts.there_is_an_admin)


def test_whoever_signs_out_is_out_in_every_tab(reader: Reader, world: World) -> None:
    let_in(world, "ada", Role.ADMIN)
    page = sign_in(reader(), "ada", "/tasks")
    other = page.context.new_page()
    open_page(other, "/runs", "Runs")
    open_page(page, "/access", "Access")
    page.get_by_role("link", name="Sign out").click()
    expect(other.get_by_role("heading", name="Sign in to Duetime")).to_be_visible()


def test_a_viewer_looks_and_presses_nothing(reader: Reader, world: World) -> None:
    let_in(world, "ada", Role.ADMIN)
    let_in(world, "ben", Role.VIEWER)
    task = world.task("backup")
    page = sign_in(reader(), "ben", f"/task?id={task}")
    for name in ("Run now", "Pause", "Edit"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_disabled()
    open_page(page, "/tasks", "Tasks")
    expect(page.get_by_role("button", name="New task")).to_be_disabled()
    expect(rows(page, "Tasks")).to_have_count(1)
    expect(page.get_by_role("button", name="Run now: backup")).to_have_count(0)
    open_page(page, "/new", "New task")
    expect(page.get_by_role("button", name="Create task")).to_be_disabled()
    open_page(page, "/access", "Access")
    expect(page.get_by_text("ben, viewer: looks at everything.")).to_be_visible()
    expect(page.get_by_role("button", name="Let somebody in")).to_have_count(0)


def test_an_operator_runs_what_has_one_of_their_tags(reader: Reader, world: World) -> None:
    let_in(world, "ada", Role.ADMIN)
    let_in(world, "cleo", Role.OPERATOR, ["ops"])
    world.task("mine", tags=["ops"])
    world.task("other", tags=["shop"])
    page = sign_in(reader(), "cleo", "/tasks")
    page.get_by_role("button", name="Pause: mine").click()
    expect(row(page, "Tasks", "mine")).to_contain_text("Paused")
    page.get_by_role("button", name="Pause: other").click()
    expect(page.get_by_text("You may run and change tasks with one of these tags only: ops")).to_be_visible()
    expect(row(page, "Tasks", "other")).not_to_contain_text("Paused")
    open_page(page, "/audit", "Audit & trash")
    expect(row(page, "Changes", "mine").first).to_contain_text("dashboard:cleo")


def test_rights_change_while_the_page_is_open(reader: Reader, world: World) -> None:
    let_in(world, "ada", Role.ADMIN)
    let_in(world, "ben", Role.VIEWER)
    admin, page = sign_in(reader(), "ada", "/access"), sign_in(reader(), "ben", "/access")
    expect(page.get_by_text("ben, viewer")).to_be_visible()
    admin.get_by_role("button", name="Change: ben").click()
    dialog = admin.get_by_role("dialog", name="What they may do")
    choose(dialog, admin, "Role", "Editor")
    dialog.get_by_role("button", name="Save").click()
    expect(row(admin, "Accounts", "ben")).to_contain_text("editor")
    expect(page.get_by_text("ben, editor")).to_be_visible()
    admin.get_by_role("button", name="Remove: ben").click()
    expect(row(admin, "Accounts", "ben")).to_have_count(0)
    expect(page.get_by_role("heading", name="Sign in to Duetime")).to_be_visible()


def test_a_key_is_made_used_and_revoked(reader: Reader, world: World, dashboard: Dashboard) -> None:
    let_in(world, "ada", Role.ADMIN)
    page = sign_in(reader(), "ada", "/access")
    page.get_by_role("button", name="Make a key").click()
    dialog = page.get_by_role("dialog", name="Make a key")
    dialog.get_by_role("textbox", name="What it is for").fill("<b>deploy</b>")
    choose(dialog, page, "Role", "Operator")
    dialog.get_by_role("button", name="Make it").click()
    key = page.locator("code", has_text="duetime_").first.inner_text()
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{dashboard.url}/api/me", headers=headers).json()["name"] == "key:<b>deploy</b>"
    assert httpx.post(f"{dashboard.url}/api/tasks", headers=headers, json={}).status_code == 403
    page.get_by_role("button", name="I have it").click()
    expect(page.get_by_text(key)).to_have_count(0)
    expect(row(page, "API keys", "<b>deploy</b>")).to_contain_text("operator")
    page.get_by_role("button", name="Revoke: <b>deploy</b>").click()
    expect(page.get_by_text("There are none. Programs send one")).to_be_visible()
    assert httpx.get(f"{dashboard.url}/api/me", headers=headers).status_code == 401


def test_a_wrong_password_is_said_and_the_name_stays(reader: Reader, world: World) -> None:
    let_in(world, "ada", Role.ADMIN)
    page = reader()
    page.goto("/runs")
    page.get_by_role("textbox", name="Name").fill("ada")
    page.get_by_role("textbox", name="Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    expect(page.get_by_role("textbox", name="Name")).to_have_value("ada")
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Runs", level=1)).to_be_visible()
