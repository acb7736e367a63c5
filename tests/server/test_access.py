"""Who may ask for what: keys, namespaces, rights, rates."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from latent_agent.cli import app
from latent_agent.errors import SettingError
from latent_agent.server.access import Access
from latent_agent.server.errors import ApiError
from latent_agent.server.keys import Key, Keys, Right, WrittenKey, add_key, hash_of, new_secret
from latent_agent.server.requests import ChatRequest
from latent_agent.server.service import Service
from latent_agent.server.turns import Turns
from tests.support.served import Served, served


def key(name: str, secret: str, **given: object) -> WrittenKey:
    return WrittenKey.model_validate({"name": name, "sha256": hash_of(secret), **given})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


# ----------------------------------------------------------------------------------- keys


def test_a_key_is_found_by_its_secret_alone(path: Path) -> None:
    secret = new_secret()
    add_key(path, key("ann", secret, namespaces=["ann"]))
    add_key(path, key("bob", "other", rights=["read", "operate"]))
    keys = Keys.read(path)
    ann = keys.find(secret)
    assert ann is not None
    assert ann == Key("ann", frozenset({"ann"}), frozenset({Right.ASK, Right.RATE}))
    assert ann.may(Right.ASK)
    assert not ann.may(Right.READ)
    assert ann.sees("ann")
    assert not ann.sees("bob")
    bob = keys.find("other")
    assert bob is not None
    assert bob.sees("anybody")
    for wrong in ("", "ann", hash_of(secret), secret + " ", secret[:-1]):
        assert keys.find(wrong) is None


def test_secrets_are_random_and_not_kept(path: Path) -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert min(map(len, secrets)) >= 43
    secret = secrets.pop()
    add_key(path, key("ann", secret))
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_taken_out_is_refused_at_once(path: Path) -> None:
    add_key(path, key("ann", "a"))
    add_key(path, key("bob", "b"))
    keys = Keys.read(path)
    rest = [one for one in json.loads(path.read_text()) if one["name"] != "ann"]
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(rest))
    beside.chmod(0o600)
    beside.replace(path)
    assert keys.find("a") is None
    assert keys.find("b") is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "must be a JSON list"),
        ('[{"name": "a"}]', "sha256"),
        ('[{"name": "a", "sha256": "1"}]', "sha256"),
        ('[{"name": "", "sha256": "' + "0" * 64 + '"}]', "name"),
        ('[{"name": "a", "sha256": "' + "0" * 64 + '", "rights": ["root"]}]', "rights"),
        ('[{"name": "a", "sha256": "' + "0" * 64 + '", "more": 1}]', "more"),
    ],
)
def test_what_is_no_file_of_keys_is_refused(path: Path, text: str, says: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SettingError, match=says):
        Keys.read(path)


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    add_key(path, key("ann", "a"))
    path.chmod(0o640)
    with pytest.raises(SettingError, match=r"mode 640; run: chmod 600"):
        Keys.read(path)
    with pytest.raises(SettingError, match="must be readable"):
        Keys.read(path.with_name("none"))


def test_no_two_keys_share_a_name_or_a_secret(path: Path) -> None:
    add_key(path, key("ann", "a"))
    for other in (key("ann", "b"), key("bob", "a")):
        with pytest.raises(SettingError, match="of their own"):
            add_key(path, other)
    assert len(json.loads(path.read_text())) == 1


def test_the_environment_may_hold_them() -> None:
    held = json.dumps([key("ann", "a").model_dump(mode="json")])
    keys = Keys.from_environment({"LATENT_AGENT_API_KEYS": held})
    assert keys is not None
    assert keys.find("a") is not None
    assert Keys.from_environment({}) is None
    with pytest.raises(SettingError, match="LATENT_AGENT_API_KEYS"):
        Keys.from_environment({"LATENT_AGENT_API_KEYS": "secret"})


def test_the_command_shows_a_secret_once(path: Path) -> None:
    made = CliRunner().invoke(app, ["serve-key", "ann", "--keys", str(path), "--right", "ask"])
    assert made.exit_code == 0, made.output
    found = Keys.read(path).find(made.stdout.strip())
    assert found == Key("ann", frozenset({"ann"}), frozenset({Right.ASK}))
    wrong = CliRunner().invoke(app, ["serve-key", "b", "--keys", str(path), "--right", "root"])
    assert isinstance(wrong.exception, SettingError)
    assert "serve-key --help" in str(wrong.exception)


# ----------------------------------------------------------------------------------- rates


class _Chat:
    namespace, recipe, timeout, max_tokens = "default", None, None, None


def access() -> Access:
    chat: object = _Chat()
    return Access(Service(chat=chat, memory=None))  # pyright: ignore[reportArgumentType]


def test_a_minute_has_so_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    turns, ann = Turns(), Key("ann", None, frozenset(Right), requests_per_minute=3)

    def request() -> None:
        with turns.turn(ann):
            pass

    for _ in range(3):
        request()
    with pytest.raises(ApiError) as refused:
        request()
    assert refused.value.status == 429
    now[0] += int(refused.value.headers["retry-after"])
    request()
    with pytest.raises(ApiError):
        request()
    now[0] += 3600  # idle hours save up no more than a minute's worth
    for _ in range(3):
        request()
    with pytest.raises(ApiError):
        request()


def test_a_key_has_so_many_unanswered_requests() -> None:
    turns, ann = Turns(), Key("ann", None, frozenset(Right), max_waiting=2)
    bob = Key("bob", None, frozenset(Right), max_waiting=2)
    with turns.turn(ann), turns.turn(ann):
        with pytest.raises(ApiError, match="at most 2 requests"), turns.turn(ann):
            pass
        with turns.turn(bob):
            pass
    with turns.turn(ann):
        pass


def test_a_namespace_is_the_keys_own() -> None:
    allowed = access()
    one = Key("ann", frozenset({"ann"}), frozenset(Right))
    two = Key("both", frozenset({"ann", "bob"}), frozenset(Right))
    every = Key("all", None, frozenset(Right))
    assert allowed.namespace(one, None) == "ann"
    assert allowed.namespace(two, "bob") == "bob"
    assert allowed.namespace(every, None) == "default"
    assert allowed.namespace(every, "x") == "x"
    with pytest.raises(ApiError, match="must name one"):
        allowed.namespace(two, None)
    for wanted in ("bob", "ann/../bob", "ANN", "default", ""):
        with pytest.raises(ApiError, match="does not reach"):
            allowed.namespace(one, wanted)


def test_what_is_calibrated_keeps_to_the_operators_bounds() -> None:
    sent = {"model": "bundled", "messages": [{"role": "user", "content": "Hi"}]}
    own = ChatRequest.model_validate({**sent, "latent_agent": {"recipe": "auto"}})
    assert access().allowed(own)["most"] == {"max_iterations": 10, "drafts": 8}
    assert "most" not in access().allowed(ChatRequest.model_validate(sent))


# ----------------------------------------------------------------------------------- a server


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with keys: their secrets are their names."""
    folder = tmp_path_factory.mktemp("locked")
    path = folder / "keys.json"
    add_key(path, key("ann", "ann", namespaces=["ann"]))
    add_key(path, key("bob", "bob", namespaces=["bob"]))
    add_key(path, key("mute", "mute", namespaces=["ann"], rights=["read"]))
    add_key(path, key("op", "op", rights=["operate"]))
    add_key(path, key("slow", "slow", namespaces=["slow"], requests_per_minute=1))
    with served("--keys", path, memory=folder / "memory.sqlite3") as running:
        yield running


@pytest.mark.slow
def test_keys_rights_and_namespaces_of_a_server(locked: Served) -> None:
    for secret, status in (("", 401), ("nobody", 401), ("mute", 403), ("ann", 200)):
        locked.key = secret
        answer = locked.ask()
        assert answer.status_code == status, answer.text
        assert ("error" in answer.json()) == (status != 200)
    assert (
        locked.get(
            "/healthz",
        ).status_code
        == 200
    )

    locked.key = "ann"
    answered = locked.ask().json()
    own = answered["latent_agent"]
    assert locked.ask(latent_agent={"namespace": "bob"}).status_code == 403
    locked.key = "bob"
    assert locked.ask().json()["latent_agent"]["warm_start"]["neighbours"] == []
    for answer in (answered["id"], own["trace_id"], own["answer_id"]):
        assert locked.post("/v1/feedback", {"id": answer, "score": 0}).status_code == 400
        stolen = {"id": answer, "score": 0, "namespace": "ann"}
        assert locked.post("/v1/feedback", stolen).status_code == 403
    locked.key = "ann"
    for answer in (answered["id"], own["trace_id"], own["answer_id"]):
        rated = locked.post("/v1/feedback", {"id": answer, "score": 1})
        assert rated.json()["trace_id"] == own["answer_id"]

    assert locked.get("/metrics").status_code == 403
    locked.key = "op"
    assert 'key="ann"' in locked.get("/metrics").text
    assert locked.ask().status_code == 403
    locked.key = "slow"
    assert locked.ask().status_code == 200
    refused = locked.ask()
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert "ann" not in locked.log.replace("key ann", "")


@pytest.mark.parametrize("how", ["gone", "readable by others", "broken"])
def test_keys_that_cannot_be_read_let_nobody_in(path: Path, how: str) -> None:
    secret = new_secret()
    add_key(path, key("ann", secret))
    keys = Keys.read(path)
    assert keys.find(secret) is not None
    if how == "gone":
        path.unlink()
    elif how == "broken":
        path.write_text("[]]")
    else:
        path.write_text("[]")
        path.chmod(0o644)
    assert keys.find(secret) is None
