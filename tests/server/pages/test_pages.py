"""The memory pages of a started server, asked as a browser asks."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from latent_agent import ChatLatentSeek
from latent_agent.server.app import make_app
from latent_agent.server.service import Service
from latent_memory import LatentMemory
from latent_memory.transfer.copying import copy
from tests.server.pages.conftest import Browser
from tests.support.memory_world import HOSTILE, SECRETS
from tests.support.servers import Server, fresh_name

Open = Callable[..., Browser]
PAGES = ("/memory", "/memory/traces", "/memory/nights", "/memory/priors")


def test_nobody_looks_without_a_key(browser: Open) -> None:
    nobody = browser()
    for path in (*PAGES, "/memory/traces/1", "/memory/nights/1", "/memory/traces/1/forget"):
        answer = nobody.get(path)
        assert (answer.status_code, answer.headers["location"][:13]) == (303, "/memory/login")
        assert answer.text == ""
    for path in ("/memory/traces/1/rate", "/memory/traces/1/forget", "/memory/priors/1/publish"):
        assert nobody.send_form(path, token="").headers["location"] == "/memory/login"


def test_a_login_leads_on_to_where_one_wanted_to_go_and_nowhere_else(browser: Open) -> None:
    nobody = browser()
    wanted = nobody.get("/memory/traces?namespace=ann").headers["location"]
    assert 'value="/memory/traces?namespace=ann"' in nobody.get(wanted).text
    led = nobody.log_in("ann", next="/memory/traces?namespace=ann")
    assert led.headers["location"] == "/memory/traces?namespace=ann"
    for elsewhere in (
        "//evil.test",
        "https://evil.test",
        "/memory\r\nx: y",
        "/memory/../v1",
        "/v1",
    ):
        assert nobody.log_in("ann", next=elsewhere).headers["location"] == "/memory"


def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(browser: Open) -> None:
    cookie = browser().log_in("all").headers["set-cookie"]
    assert {"HttpOnly", "Path=/memory", "SameSite=strict", "Max-Age=43200"} <= set(
        cookie.split("; ")
    )
    assert not any(secret in cookie for secret in SECRETS.values())


def test_a_wrong_key_and_one_that_may_not_read_are_told(browser: Open) -> None:
    nobody = browser()
    wrong = nobody.send_form("/memory/login", key="la-wrong")
    assert (wrong.status_code, "does not know that key" in wrong.text) == (401, True)
    assert "la-wrong" not in wrong.text
    assert nobody.log_in("asker").status_code == 403
    assert not nobody.cookies


def test_a_stolen_cookie_is_worth_nothing_after_the_logout(browser: Open) -> None:
    owner, thief = browser("ann"), browser()
    thief.cookies.update(owner.cookies)
    assert thief.get("/memory").status_code == 200
    token = owner.token()
    assert owner.send_form("/memory/logout", token=token).headers["location"] == "/memory/login"
    assert thief.get("/memory").status_code == 303
    assert thief.send_form("/memory/traces/1/rate", token=token, score="up").status_code == 303
    assert owner.get("/memory").status_code == 303


def test_every_page_holds_together_and_forbids_scripts(browser: Open, ids: dict[str, int]) -> None:
    looker = browser("all")
    paths = [*PAGES, "/memory/nights/1", *(f"/memory/traces/{id_}" for id_ in ids.values())]
    for path in (*paths, "/memory/login", "/memory/forget?namespace=ann", "/memory/nothing"):
        answer = looker.get(path)
        assert answer.status_code == (404 if path.endswith("nothing") else 200), path
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self';")
        assert "script" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search("[\x00-\x09\x0b-\x1f]", answer.text)
        assert not re.search(r"<script|<img|<style|style=|\son\w+=\"", answer.text)
    assert looker.get("/memory/style.css").headers["content-type"] == "text/css; charset=utf-8"


def test_what_was_asked_is_shown_and_never_obeyed(browser: Open, ids: dict[str, int]) -> None:
    looker = browser("all")
    escaped = HOSTILE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = escaped.replace('"', "&#34;").replace("'", "&#39;")
    for path in ("/memory", "/memory/traces", f"/memory/traces/{ids['hostile']}"):
        text = looker.get(path, params={"namespace": "default"}).text
        assert escaped in text
    assert "&lt;b&gt;fine&lt;/b&gt;" in looker.get(f"/memory/traces/{ids['ann']}").text


def test_one_trace_shows_its_search_and_where_it_came_from(
    browser: Open, ids: dict[str, int]
) -> None:
    ann = browser("ann")
    text = ann.get(f"/memory/traces/{ids['warm']}").text
    assert "Prior 1 made its beginning" in text
    assert f'href="/memory/traces/{ids["ann"]}"' in text
    assert "Ann&#39;s question?" in text
    assert "Trace 999, forgotten since" in text
    assert "step 2" in text
    assert text.count(">kept<") == 1
    first = ann.get(f"/memory/traces/{ids['ann']}").text
    assert "rated right" in first
    assert "decides" in first
    told = browser("all").get(f"/memory/traces/{ids['told']}").text
    assert "System prompt" in told
    assert "Be brief." in told


def test_nights_and_priors_show_their_figures(browser: Open) -> None:
    ann = browser("ann")
    assert "1.50 steps a question for ann" in ann.get("/memory/nights").text
    night = ann.get("/memory/nights/1").text
    assert "no prior" in night
    assert "0.003 against no prior" in night
    assert "<svg" in night
    priors = ann.get("/memory/priors").text
    assert priors.count("Roll back") == 1
    assert "active" in priors


def test_a_slash_at_the_end_is_no_other_page(browser: Open) -> None:
    assert browser("all").get("/memory/").headers["location"] == "/memory"


def test_a_list_goes_on_with_older_ones(browser: Open) -> None:
    ann = browser("ann")
    first = ann.get("/memory/traces").text
    older = re.findall(r'href="(/memory/traces\?before=\d+&amp;namespace=ann)"', first)
    assert len(older) == 1
    last = ann.get(older[0].replace("&amp;", "&")).text
    assert "Ann&#39;s question?" in last
    assert "Older" not in last


def test_a_key_sees_its_namespaces_only(browser: Open, ids: dict[str, int]) -> None:
    ann = browser("ann")
    for path in PAGES:
        text = ann.get(path).text
        for theirs in ("Bob", "bob", "default", "word word", ".sqlite3", "Sizes"):
            assert theirs not in text, path
        assert ann.get(path, params={"namespace": "bob"}).status_code == 404
    assert "<b>32</b><span>traces" in ann.get("/memory").text
    assert "<b>2</b><span>nights" in ann.get("/memory").text
    assert ann.get("/memory/nights/2").status_code == 404
    unknown = ann.get("/memory/traces/987654")
    for id_ in (ids["bob"], ids["hostile"]):
        for path in ("", "/forget"):
            other = ann.get(f"/memory/traces/{id_}{path}")
            assert (other.status_code, other.text) == (404, unknown.text)
    known, missing = ann.get("/memory/traces?namespace=bob"), ann.get("/memory/traces?namespace=no")
    assert known.text == missing.text


def test_a_key_changes_its_namespaces_only(
    browser: Open, ids: dict[str, int], stored: LatentMemory
) -> None:
    ann, bob = browser("ann"), ids["bob"]
    unknown = ann.change("/memory/traces/987654/rate", score="up")
    assert unknown.status_code == 404
    assert ann.change(f"/memory/traces/{bob}/rate", score="up").text == unknown.text
    assert ann.change(f"/memory/traces/{bob}/forget").text == unknown.text
    assert ann.change("/memory/forget", namespace="bob", typed="bob").status_code == 404
    assert ann.change("/memory/priors/2/rollback").status_code == 404
    assert (
        ann.change("/memory/priors/2/publish").text == ann.change("/memory/priors/9/publish").text
    )
    assert stored.get(bob) is not None
    assert len(stored.feedback(bob)) == 1


def test_an_answer_is_rated_and_corrected(
    browser: Open, ids: dict[str, int], stored: LatentMemory
) -> None:
    everyone, id_ = browser("all"), ids["told"]
    path = f"/memory/traces/{id_}/rate"
    led = everyone.change(path, score="up", comment="so it is")
    assert led.headers["location"] == f"/memory/traces/{id_}?done=rated"
    assert "The rating is kept." in everyone.get(led.headers["location"]).text
    assert everyone.change(path, score="down").status_code == 303
    assert everyone.change(path, correction="It is\r\nso.").status_code == 303
    said = [one.feedback for one in stored.feedback(id_)]
    assert [one.score for one in said] == [1.0, 0.0, 0.0]
    assert said[0].comment == "so it is"
    assert said[2].correction == "It is\nso."
    for nothing in ({}, {"score": "2"}, {"correction": " "}, {"correction": "answer 6."}):
        assert everyone.change(path, **nothing).status_code == 400
    assert len(stored.feedback(id_)) == 3
    copy = stored.ratings([id_])[id_].copy
    assert f"<h1>Trace {id_}</h1>" in everyone.get(f"/memory/traces/{copy}").text


def test_only_our_own_pages_change_anything(
    browser: Open, ids: dict[str, int], stored: LatentMemory, url: str
) -> None:
    ann, other = browser("ann"), browser("ann")
    token, path = ann.token(), f"/memory/traces/{ids['warm']}"
    others = other.token()
    for changed in (f"{path}/rate", f"{path}/forget", "/memory/priors/1/publish", "/memory/logout"):
        for headers in (
            {"origin": "https://evil.test"},
            {"origin": "null"},
            {"origin": url, "sec-fetch-site": "cross-site"},
            {"origin": url, "sec-fetch-site": "same-site"},
            {"sec-fetch-site": "none"},
            {},
        ):
            sent = ann.send_from(headers, changed, token=token, score="up")
            assert (sent.status_code, "Sent from elsewhere" in sent.text) == (403, True)
        for wrong in ("", "x", others, "\u00e9"):
            sent = ann.send_form(changed, token=wrong, score="up")
            assert (sent.status_code, "out of date" in sent.text) == (403, True)
        assert ann.get(changed).status_code in (200, 404), "no change by GET"
    login = ann.send_from({"origin": "https://evil.test"}, "/memory/login", key=SECRETS["all"])
    assert login.status_code == 403
    assert stored.feedback(ids["warm"]) == []
    assert ann.send_form(f"{path}/rate", token=token, score="up").status_code == 303


def test_a_form_must_be_one(browser: Open, ids: dict[str, int]) -> None:
    ann = browser("ann")
    path, origin = f"/memory/traces/{ids['ann']}/rate", {"origin": ann.origin}
    for kind, body in (
        ("text/plain", f"token={ann.token()}&score=up"),
        ("application/json", "{}"),
        ("application/x-www-form-urlencoded", "&".join("a=b" for _ in range(99))),
        ("application/x-www-form-urlencoded", b"a=\xff"),
        ("application/x-www-form-urlencoded", "a=%ff"),
    ):
        sent = ann.post(path, content=body, headers={**origin, "content-type": kind})
        assert sent.status_code == 400


def test_a_right_that_is_missing_is_missing_everywhere(
    browser: Open, ids: dict[str, int], stored: LatentMemory
) -> None:
    looker, path = browser("looker"), f"/memory/traces/{ids['hostile']}"
    text = looker.get(path).text
    assert 'name="score"' not in text
    assert "Forget this" not in text
    assert "Roll back" not in looker.get("/memory/priors").text
    assert "Forget all" not in looker.get("/memory?namespace=ann").text
    for changed in (f"{path}/rate", f"{path}/forget", "/memory/priors/1/publish"):
        assert looker.change(changed, score="up").status_code == 403
    assert looker.get(f"{path}/forget").status_code == 403
    assert stored.get(ids["hostile"]) is not None


@pytest.mark.parametrize(
    "tricky", ["0", "-1", "1e3", "9" * 30, "٣", "..%2f..%2fv1", "1%00", "1%20", "1;drop", "%3Cb%3E"]
)
def test_tricks_in_an_id_are_no_trace(browser: Open, tricky: str) -> None:
    looker = browser("all")
    for place in ("traces", "nights"):
        answer = looker.get(f"/memory/{place}/{tricky}")
        assert answer.status_code == 404
        assert "No such" in answer.text
    assert looker.change(f"/memory/traces/{tricky}/rate", score="up").status_code in (404, 405)


def test_a_prior_is_rolled_back_and_published_again(browser: Open) -> None:
    bob, everyone = browser("bob"), browser("all")
    assert bob.change("/memory/priors/2/rollback").headers["location"].endswith("done=rolled-back")
    assert "withdrawn (rolled back)" in bob.get("/memory/priors").text
    assert bob.change("/memory/priors/2/rollback").status_code == 409
    assert everyone.change("/memory/priors/2/publish").status_code == 303
    assert "withdrawn" not in bob.get("/memory/priors").text


def test_a_trace_and_a_namespace_are_forgotten_once_confirmed(
    browser: Open, stored: LatentMemory
) -> None:
    bob = browser("bob")
    (info,) = stored.list(namespace="bob", limit=9)
    asked = bob.get(f"/memory/traces/{info.id}/forget").text
    assert "This cannot be undone" in asked
    for typed in ("", "Bob"):
        assert bob.change("/memory/forget", namespace="bob", typed=typed).status_code == 400
    assert stored.get(info.id) is not None
    led = bob.change(f"/memory/traces/{info.id}/forget")
    assert "Forgotten" in bob.get(led.headers["location"]).text
    assert stored.get(info.id) is None
    assert "<b>0</b>" in bob.get("/memory/forget?namespace=bob").text
    assert bob.change("/memory/forget", namespace="bob", typed="bob").status_code == 303


def test_a_memory_on_a_server_shows_the_same(
    world: tuple[Path, dict[str, int]], database_server: Server
) -> None:
    """Every page, of a file and of a copy of it; only places, sizes and tokens differ."""
    name, ids = fresh_name(), world[1]
    with (
        LatentMemory(world[0], mode="read") as file,
        LatentMemory(database_server.schema(name)) as copied,
    ):
        copy(file.database, copied.database)
        paths = [*PAGES, "/memory/nights/1", *(f"/memory/traces/{id_}" for id_ in ids.values())]
        paths += ["/memory/traces?namespace=ann&text=Ann", "/memory/forget?namespace=ann"]
        mine, theirs = (looked_at(memory, paths) for memory in (file, copied))
    assert theirs == mine
    database_server.drop(name)


def looked_at(memory: LatentMemory, paths: list[str]) -> dict[str, str]:
    chat = ChatLatentSeek(model="bundled", memory=memory)
    client = TestClient(make_app(Service(chat=chat, memory=memory)), base_url="http://127.0.0.1")
    found: dict[str, str] = {}
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        text = re.sub(r'name="token" value="[^"]*"', "", answer.text.replace(str(memory.place), ""))
        found[path] = re.sub(r"[\d.,]+ (?:bytes|[kMG]i?B|B)\b", "", text)
    return found
