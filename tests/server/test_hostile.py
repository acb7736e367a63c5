"""What hostile and broken clients send; docs/attacks.md is the table of it."""

import json
import shutil
import socket
import subprocess
from typing import Any

import httpx
import pytest

from tests.support.served import QUESTION, Served, asked, events

DEEP = "[" * 100_000


def error_of(answer: Any) -> dict[str, Any]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "must be JSON"),
        (b"\xff\xfe", 400, ""),
        (DEEP.encode(), 400, ""),
        (b"[]", 400, ""),
        (b"null", 400, ""),
        (b'{"model": "bundled", "messages": [{"role": "root", "content": "x"}]}', 400, "role"),
        (b'{"model": "bundled", "messages": [{"role": "tool", "content": "x"}]}', 400, "call"),
        (b'{"model": "bundled", "\\ud800": 1, "messages": []}', 400, ""),
        (json.dumps(asked("\ud800")).encode(), 400, "Unicode"),
        (json.dumps(asked([{"type": "text", "text": "\ud800"}])).encode(), 400, "Unicode"),
        (
            json.dumps(asked(tools=[{"type": "function", "function": {
                "name": "f", "parameters": {"type": "object", "x": json.loads(
                    "[" * 200 + "]" * 200)}}}])).encode(),
            400,
            "levels",
        ),
    ],
)  # fmt: skip
def test_a_broken_body_is_told(server: Served, body: bytes, status: int, says: str) -> None:
    answer = server.post(
        "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status, answer.text
    assert says in error_of(answer)["message"]


def test_a_body_must_say_that_it_is_json(server: Served) -> None:
    """Else any page's form could send one."""
    body = json.dumps(asked())
    for given in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = server.post("/v1/chat/completions", content=body, headers={"content-type": given})
        assert answer.status_code == 415
        assert "Content-Type: application/json" in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"origin": "http://evil.example"}, "origin_not_allowed"),
        ({"origin": "null"}, "origin_not_allowed"),
        ({"origin": "http://127.0.0.1.evil.example"}, "origin_not_allowed"),
        ({"host": "evil.example"}, "local_only"),
        ({"host": "127.0.0.1.evil.example"}, "local_only"),
        ({"host": "[::1"}, "local_only"),
    ],
)
def test_no_page_from_elsewhere_uses_who_sits_here(
    server: Served, headers: dict[str, str], code: str
) -> None:
    for path, body in (
        ("/v1/chat/completions", asked()),
        ("/v1/feedback", {"id": 1, "score": 0}),
        ("/v1/embeddings", {"model": "bundled", "input": "x"}),
    ):
        answer = server.post(path, body, headers=headers)
        assert answer.status_code == 403
        assert error_of(answer)["code"] == code
        assert "access-control-allow-origin" not in answer.headers


def test_the_servers_own_page_may_ask(server: Served) -> None:
    assert server.post("/v1/embeddings", {"model": "bundled", "input": "x"},
                       headers={"origin": server.url}).status_code == 200  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/v1/models/../../etc/passwd",
        "/v1/models/%00",
        "/v1/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/chat/completions/../../../x",
    ],
)
def test_paths_lead_nowhere(server: Served, path: str) -> None:
    answer = server.get(path)
    assert answer.status_code in (404, 405)
    assert "root:" not in answer.text
    error_of(answer)


@pytest.mark.parametrize("id", ["../../x", "chatcmpl-../x", "' OR 1=1 --", "", 10**18, "1e3"])
def test_ids_of_feedback_lead_nowhere(server: Served, id: Any) -> None:
    answer = server.post("/v1/feedback", {"id": id, "score": 1})
    assert answer.status_code == 400
    error_of(answer)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/x", "file:///etc/passwd", "data:image/png;base64,AAAA"]
)
def test_images_are_refused_and_never_fetched(server: Served, url: str) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0.3)
        part = {
            "type": "image_url",
            "image_url": {"url": url.format(port=listening.getsockname()[1])},
        }
        body = {"model": "bundled", "messages": [{"role": "user", "content": [part]}]}
        answer = server.post("/v1/chat/completions", body)
        assert answer.status_code == 400
        assert "reads no images" in error_of(answer)["message"]
        with pytest.raises(TimeoutError):
            listening.accept()


def test_no_text_of_a_request_is_in_logs_or_metrics(server: Served) -> None:
    marks = [f"xyzzy{number}" for number in range(6)]
    server.ask(marks[0])
    server.ask(marks[1], stream=True)
    server.ask(QUESTION, user=marks[2], metadata={"a": marks[2]})
    server.get(f"/v1/models/{marks[3]}?q={marks[3]}")
    server.post("/v1/feedback", {"id": 1, "score": 1, "comment": marks[4]})
    server.post("/v1/chat/completions", content=marks[5], headers={"content-type": "text/plain"})
    told = server.log + server.get("/metrics").text
    assert "/v1/feedback" in told
    assert not [mark for mark in marks if mark in told]


def test_a_great_body_is_refused_before_it_is_read(server: Served) -> None:
    answer = server.post("/v1/chat/completions", asked("x" * 2_100_000))
    assert answer.status_code == 413
    assert "--most-bytes" in error_of(answer)["message"]

    def chunks() -> Any:
        for _ in range(300):
            yield b"x" * 10_000

    answer = server.post("/v1/chat/completions", content=chunks())
    assert answer.status_code == 413
    long = server.ask("x" * 500_000)
    assert long.status_code == 413
    assert "400,000 characters" in error_of(long)["message"]
    window = server.ask("one two " * 10_000)
    assert window.status_code == 400
    assert "context window" in error_of(window)["message"]


def test_too_many_headers_are_refused(server: Served) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        try:
            for number in range(5000):
                raw.sendall(b"x-%d: %s\r\n" % (number, b"y" * 20))
            raw.sendall(b"\r\n")
            told = raw.recv(1000)
        except (BrokenPipeError, ConnectionResetError):
            told = b""
    assert told == b"" or b" 400 " in told
    assert server.get("/healthz").status_code == 200


def test_a_stream_tells_progress_only_if_asked(server: Served) -> None:
    question = "Today is Tuesday. The trip of Ann was 2 days ago. What day was the trip?"
    given: Any = {"stream": True, "store": False}
    told = events(server.ask(question, **given, latent_agent={"progress": True}).text)
    names = [one["latent_agent"]["event"] for one in told if not one["choices"]]
    assert "verdict" in names
    quiet = events(server.ask(question, **given).text)
    assert all(one["choices"] for one in quiet)


def test_what_is_not_to_be_stored_is_not(server: Served) -> None:
    own = server.ask(store=False).json()["latent_agent"]
    assert own["trace_id"] is None
    assert own["answer_id"] is None


def test_curl(server: Served) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(
        [
            *(
                curl,
                "--silent",
                "--show-error",
                "--fail-with-body",
                "--no-buffer",
                "--noproxy",
                "*",
            ),
            *("-H", "Content-Type: application/json", "-d", json.dumps(asked(stream=True))),
            f"{server.base}/chat/completions",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    told = events(done.stdout)
    assert "Friday" in "".join(one["choices"][0]["delta"].get("content", "") for one in told)


def test_streams_that_are_written_meanwhile_keep_their_order(server: Served) -> None:
    whole = server.ask(latent_agent={"max_iterations": 0}).json()["choices"][0]["message"]
    for _ in range(12):
        answer = server.ask(stream=True, latent_agent={"max_iterations": 0})
        choices = [one["choices"][0] for one in events(answer.text) if one["choices"]]
        pieces = [choice["delta"].get("content") or "" for choice in choices]
        assert "".join(pieces) == whole["content"]


@pytest.mark.parametrize("given", [[1, 2], [[1, 2], [3]], ["a text", 5]])
def test_token_ids_are_no_texts_to_embed(server: Served, given: Any) -> None:
    answer = server.post("/v1/embeddings", {"model": "bundled", "input": given})
    assert answer.status_code == 400
    assert "input" in error_of(answer)["message"]


def test_embeddings_take_what_litellm_sends(server: Served) -> None:
    body = {"model": "bundled", "input": "Hello.", "encoding_format": None}
    answer = server.post("/v1/embeddings", body)
    assert isinstance(answer.json()["data"][0]["embedding"], list)


def test_scripts_of_other_pages_read_no_memory(server: Served) -> None:
    for headers in (
        {"origin": "https://page.example"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ):
        assert server.get("/memory/traces").status_code == 200
        answer = httpx.get(f"{server.url}/memory/traces", headers=headers)
        assert answer.status_code == 403
        assert "Not for other pages" in answer.text
