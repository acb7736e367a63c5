"""A server that speaks OpenAI's API and is not ours, for as much as a chat needs of one."""

import contextlib
import json
import threading
import time
from collections.abc import Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-right"


class Foreign(ThreadingHTTPServer):
    """Answers with what the last message says, word by word; ``slowly`` without an end."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.gone = threading.Event()
        """Set once a client has gone in the middle of an answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Foreign  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._json(200, {"object": "list", "data": [{"id": "echo", "owned_by": "others"}]})
        else:
            self._json(404, {"error": {"message": f"no {self.path} \x1b[31mhere"}})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self._json(401, {"error": {"message": "who are you?"}})
            return
        self.send_response(200)
        self.end_headers()
        text = asked["messages"][-1]["content"]
        try:
            for word in self._words(text):
                self._event({"choices": [{"delta": {"content": word}}]})
            if text == "fail":
                self._event({"error": {"message": "out of luck"}})
                return
            self._event({"choices": []})
            finish = "length" if text == "cut" else "stop"
            self._event({"choices": [{"delta": {}, "finish_reason": finish}]})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.server.gone.set()

    def _words(self, text: str) -> Iterator[str]:
        yield from ("You ", "said: ", text)
        while text == "slowly":
            time.sleep(0.05)
            yield " and"

    def _event(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(f": comment\ndata: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def _json(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


@contextlib.contextmanager
def foreign_server() -> Generator[Foreign]:
    with Foreign() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
