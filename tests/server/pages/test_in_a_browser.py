"""The memory pages in a real browser: Chromium, driven by Playwright."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from latent_memory import LatentMemory
from tests.support.memory_world import SECRETS, fill, write_keys
from tests.support.served import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
Open = Callable[..., Page]
EVIL = "http://evil.test/"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, dict[str, int]]]:
    """A server of its own, its memory, and the ids in it."""
    folder = tmp_path_factory.mktemp("browsed")
    path = folder / "memory.sqlite3"
    ids = fill(path)
    with served("--keys", write_keys(folder / "keys.json"), memory=path, wait=False) as server:
        yield server.url, path, ids


@pytest.fixture
def visit(chromium: Browser, own: tuple[str, Path, dict[str, int]]) -> Iterator[Open]:
    """Open a window, logged in with a key or not; what a page runs or asks elsewhere fails."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def elsewhere(url: str) -> list[str]:
        return [] if url.startswith((own[0], EVIL)) else [url]

    def visit(name: str | None = None, **options: Any) -> Page:
        contexts.append(chromium.new_context(base_url=own[0], **options))
        page = contexts[-1].new_page()
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.extend(elsewhere(request.url)))
        if name is not None:
            page.goto("/memory")
            page.get_by_label("API key").fill(SECRETS[name])
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("heading", name="Memory:")).to_be_visible()
        return page

    yield visit
    for one in contexts:
        one.close()
    assert wrong == []


def evil(page: Page, body: str) -> None:
    """Let another site answer with a page."""
    page.route(EVIL, lambda route: route.fulfill(body=body, content_type="text/html"))


def test_a_stored_script_does_not_run(visit: Open, own: tuple[str, Path, dict[str, int]]) -> None:
    page, hostile = visit("all"), own[2]["hostile"]
    for path in ("?namespace=default", "/traces?namespace=default", f"/traces/{hostile}"):
        page.goto(f"/memory{path}")
        page.wait_for_load_state("networkidle")
        assert page.title() != "taken"
        assert "document.title = 'taken'" in page.inner_text("main")
        assert page.locator("main script, main img").count() == 0


def test_a_script_that_got_into_a_page_is_not_run_either(visit: Open) -> None:
    page = visit("all")
    page.evaluate(
        "() => { const one = document.createElement('script'); one.text = 'document.title = 1';"
        "document.body.append(one) }"
    )
    assert page.title() != "1"


def test_a_cookie_kept_from_before_the_logout_is_refused(visit: Open) -> None:
    page, thief = visit("ann"), visit()
    cookies: list[Any] = list(page.context.cookies())
    assert [(one.get("httpOnly"), one.get("sameSite")) for one in cookies] == [(True, "Strict")]
    thief.context.add_cookies(cookies)
    thief.goto("/memory/traces")
    expect(thief.get_by_role("heading", name="Traces")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    thief.reload()
    expect(thief.get_by_label("API key")).to_be_visible()


@pytest.mark.parametrize("path", ["rate", "forget"])
def test_another_site_cannot_send_a_form(
    visit: Open, own: tuple[str, Path, dict[str, int]], path: str
) -> None:
    url, memory, ids = own
    page, id_ = visit("all"), ids["long"]
    form = f"""<form method="post" action="{url}/memory/traces/{id_}/{path}">
        <input name="score" value="up"><button>win</button></form>"""
    page.route(EVIL, lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto(EVIL)
    with page.expect_navigation() as navigation:
        page.get_by_role("button", name="win").click()
    assert navigation.value.status == 403
    expect(page.get_by_role("heading", name="Sent from elsewhere")).to_be_visible()
    with LatentMemory(memory, mode="read") as stored:
        assert stored.get(id_) is not None
        assert stored.feedback(id_) == []


def test_another_site_cannot_frame_the_pages(
    visit: Open, own: tuple[str, Path, dict[str, int]]
) -> None:
    page = visit()
    frame = f'<iframe src="{own[0]}/memory/login"></iframe>'
    page.route(EVIL, lambda route: route.fulfill(body=frame, content_type="text/html"))
    page.goto(EVIL, wait_until="networkidle")
    assert all("API key" not in frame.content() for frame in page.frames)


def test_an_answer_is_rated_corrected_and_forgotten(
    visit: Open, own: tuple[str, Path, dict[str, int]]
) -> None:
    _, memory, ids = own
    page, id_ = visit("all"), ids["told"]
    page.goto(f"/memory/traces/{id_}")
    page.get_by_label("Comment").fill("fine")
    page.get_by_role("button", name="Right").click()
    expect(page.get_by_text("The rating is kept.")).to_be_visible()
    expect(page.get_by_text("rated right")).to_be_visible()
    page.get_by_text("Correct the answer").click()
    assert page.get_by_label("The right answer").input_value() == "answer 6."
    page.get_by_label("The right answer").fill("It is so.")
    page.get_by_role("button", name="Keep the correction").click()
    expect(page.get_by_text("The correction is kept.")).to_be_visible()
    with LatentMemory(memory, mode="read") as stored:
        said = [one.feedback for one in stored.feedback(id_)]
    assert [(one.score, one.comment, one.correction) for one in said] == [
        (1.0, "fine", None),
        (0.0, None, "It is so."),
    ]
    page.get_by_role("link", name="Forget this trace").click()
    page.get_by_role("link", name="Keep").click()
    page.get_by_role("link", name="Forget this trace").click()
    page.get_by_role("button", name="Forget for good").click()
    expect(page.get_by_text("Forgotten: its bytes have left the files.")).to_be_visible()
    page.goto(f"/memory/traces/{id_}")
    expect(page.get_by_role("heading", name="No such trace")).to_be_visible()


def test_a_prior_is_rolled_back_by_hand(visit: Open) -> None:
    page = visit("ann")
    page.get_by_role("link", name="Priors").click()
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("Rolled back.")).to_be_visible()
    page.locator(".card").first.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("The prior is published.")).to_be_visible()


def test_a_namespace_is_chosen(visit: Open) -> None:
    page = visit("all")
    page.goto("/memory/traces")
    page.get_by_label("Namespace").select_option("bob")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Bob's secret?")).to_be_visible()
    expect(page.locator(".list li")).to_have_count(1)
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name="Memory: namespace bob")).to_be_visible()


def test_no_page_scrolls_sideways_on_a_phone(
    visit: Open, own: tuple[str, Path, dict[str, int]]
) -> None:
    page = visit("all", viewport={"width": 390, "height": 844})
    traces = [f"/memory/traces/{own[2][name]}" for name in ("ann", "hostile", "long", "warm")]
    pages = ("/memory", "/memory/traces", "/memory/nights", "/memory/nights/1", "/memory/priors")
    for path in (*pages, *traces, f"{traces[2]}/forget", "/memory/forget?namespace=ann"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    page.context.clear_cookies()
    page.goto("/memory/login")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_pages_are_dark_where_the_reader_is(visit: Open) -> None:
    grounds: list[str] = []
    for scheme in ("light", "dark"):
        page = visit("all", color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]
