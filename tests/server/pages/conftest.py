"""A server with keys over a memory with a little of everything."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from latent_memory import LatentMemory
from tests.support.memory_world import SECRETS, fill, write_keys
from tests.support.served import served


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A filled memory, not to be changed, and its ids."""
    path = tmp_path_factory.mktemp("world") / "memory.sqlite3"
    return path, fill(path)


@pytest.fixture(scope="session")
def ids(world: tuple[Path, dict[str, int]]) -> dict[str, int]:
    return world[1]


@pytest.fixture(scope="session")
def at(world: tuple[Path, dict[str, int]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The memory of the server that all tests share."""
    folder = tmp_path_factory.mktemp("pages")
    return Path(shutil.copytree(world[0].parent, folder / "served")) / "memory.sqlite3"


@pytest.fixture(scope="session")
def url(at: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    keys = write_keys(tmp_path_factory.mktemp("keys") / "keys.json")
    with served("--keys", keys, memory=at, wait=False) as server:
        yield server.url


@pytest.fixture
def stored(at: Path) -> Iterator[LatentMemory]:
    """The server's memory, as another process sees it."""
    with LatentMemory(at, mode="read") as memory:
        yield memory


class Browser(httpx.Client):
    """Does what a browser does: keeps cookies, and says which page sends a form."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, timeout=60)
        self.origin = url

    def log_in(self, name: str, **more: str) -> httpx.Response:
        return self.send_form("/memory/login", key=SECRETS[name], **more)

    def token(self, path: str = "/memory") -> str:
        """What the forms of a page bear."""
        text = self.get(path).text
        return text.split('name="token" value="')[1].split('"')[0]

    def send_form(self, path: str, **fields: str) -> httpx.Response:
        return self.send_from({"origin": self.origin}, path, **fields)

    def send_from(self, headers: dict[str, str], path: str, **fields: str) -> httpx.Response:
        """Send a form with headers that say where it comes from."""
        return self.post(path, data=fields, headers=headers)

    def change(self, path: str, **fields: str) -> httpx.Response:
        return self.send_form(path, **{"token": self.token(), **fields})


@pytest.fixture
def browser(url: str) -> Iterator[Callable[[str | None], Browser]]:
    """Open a browser, logged in with a key or not."""
    opened: list[Browser] = []

    def browser(name: str | None = None) -> Browser:
        opened.append(Browser(url))
        if name is not None:
            assert opened[-1].log_in(name).status_code == 303
        return opened[-1]

    yield browser
    for one in opened:
        one.close()
