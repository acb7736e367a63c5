"""Who is let in, by the application itself: without keys, by other names, over https, in time."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.server.app import make_app
from latent_agent.server.keys import Keys
from latent_agent.server.pages.sessions import HOURS, Attempts, Sessions
from latent_agent.server.service import Service
from latent_memory import LatentMemory
from tests.support.memories import trace
from tests.support.memory_world import SECRETS, write_keys

Client = Callable[..., httpx.AsyncClient]
HERE = "http://127.0.0.1:8321"


@pytest.fixture
def memory(tmp_path: Path):
    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        memory.add(trace(1))
        yield memory


def client(memory: LatentMemory | None, keys: Keys | None = None, at: str = HERE):
    chat = ChatLatentSeek(model="bundled", memory=memory)
    app = make_app(Service(chat=chat, memory=memory, keys=keys))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=at)


async def token(browser: httpx.AsyncClient, path: str = "/memory/traces/1") -> str:
    text = (await browser.get(path)).text
    return text.split('name="token" value="')[1].split('"')[0]


async def test_without_keys_nobody_logs_in_and_changes_are_still_guarded(
    memory: LatentMemory,
) -> None:
    async with client(memory) as browser:
        page = await browser.get("/memory/traces/1")
        assert "question 1?" in page.text
        assert "Log out" not in page.text
        assert (await browser.get("/memory/login")).headers["location"] == "/memory"
        path, origin = "/memory/traces/1/rate", {"origin": HERE}
        known = await token(browser)
        for sent, headers in (
            ({"score": "up"}, origin),
            ({"score": "up", "token": "x"}, origin),
            ({"score": "up", "token": known}, {"origin": "http://evil.test"}),
            ({"score": "up", "token": known}, {"origin": "http://127.0.0.1:9999"}),
            ({"score": "up", "token": known}, {"host": "evil.test", "origin": "http://evil.test"}),
        ):
            refused = await browser.post(path, data=sent, headers=headers)
            assert refused.status_code == 403
        assert memory.feedback(1) == []
        done = await browser.post(path, data={"score": "up", "token": known}, headers=origin)
        assert done.status_code == 303
    assert len(memory.feedback(1)) == 1


@pytest.mark.parametrize(
    "host", ["evil.test", "127.0.0.1.evil.test", "[::2]", "10.0.0.1:8321", "["]
)
async def test_without_keys_other_names_of_this_machine_are_refused(
    memory: LatentMemory, host: str
) -> None:
    async with client(memory) as browser:
        for path in ("/memory", "/memory/login", "/memory/traces/1"):
            answer = await browser.get(path, headers={"host": host})
            assert answer.status_code == 403
            assert "question" not in answer.text
        for own in ("localhost", "127.0.0.1:1", "[::1]:8321"):
            assert (await browser.get("/memory", headers={"host": own})).status_code == 200


async def test_a_server_without_a_memory_says_so() -> None:
    async with client(None) as browser:
        answer = await browser.get("/memory")
    assert answer.status_code == 404
    assert "--no-memory" in answer.text


async def test_over_https_the_cookie_is_secure_and_a_key_that_goes_ends_its_sessions(
    memory: LatentMemory, tmp_path: Path
) -> None:
    path = write_keys(tmp_path / "keys.json")
    async with client(memory, Keys.read(path), "https://assistant.test") as browser:
        cookie = (await logged_in(browser, SECRETS["all"])).headers["set-cookie"]
        assert "Secure" in cookie
        assert (await browser.get("/memory")).status_code == 200
        known = path.read_text()
        path.write_text(
            re.sub(r'"name": "all", "sha256": "..', '"name": "all", "sha256": "00', known)
        )
        assert (await browser.get("/memory")).status_code == 303


async def logged_in(browser: httpx.AsyncClient, secret: str) -> httpx.Response:
    origin = str(browser.base_url).rstrip("/")
    return await browser.post("/memory/login", data={"key": secret}, headers={"origin": origin})


async def test_logins_that_fail_are_counted(memory: LatentMemory, tmp_path: Path) -> None:
    keys = Keys.read(write_keys(tmp_path / "keys.json"))
    async with client(memory, keys) as browser:
        for _ in range(10):
            assert (await logged_in(browser, "la-guess")).status_code == 401
        for secret in ("la-guess", SECRETS["all"]):
            answer = await logged_in(browser, secret)
            assert answer.status_code == 429
            assert 1 <= int(answer.headers["retry-after"]) <= 60


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_session_expires_and_its_id_is_its_own() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    one, other = sessions.begin("s"), sessions.begin("s")
    first, second = sessions.find(one), sessions.find(other)
    assert first is not None
    assert second is not None
    assert first.token != second.token
    clock.now = HOURS * 3600 - 1
    assert sessions.find(one) == first
    sessions.end(other)
    assert sessions.find(other) is None
    clock.now += 1
    assert sessions.find(one) is None


def test_sessions_and_attempts_stay_few() -> None:
    sessions, clock = Sessions(), Clock()
    ids = [sessions.begin("s") for _ in range(1001)]
    assert sessions.find(ids[0]) is None
    assert sessions.find(ids[1]) is not None
    attempts = Attempts(clock)
    for _ in range(10):
        attempts.failed("a")
    assert attempts.wait("a") == 60
    assert attempts.wait("b") == 0
    clock.now = 45.0
    assert attempts.wait("a") == 15
    clock.now = 61.0
    assert attempts.wait("a") == 0
