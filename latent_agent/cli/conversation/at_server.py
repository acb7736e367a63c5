"""A server as the one who answers: ours, or any other that speaks OpenAI's API."""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from latent_agent.cli.conversation.partner import Reply, Role, Said, Show, Turn
from latent_agent.cli.conversation.words import doing_text, rated_text
from latent_agent.errors import LatentAgentError, SettingError
from latent_agent.server.memory_page.texts import clean

_ROLES: dict[Role, str] = {"human": "user", "ai": "assistant"}
_OURS = "latent-agent"
_TIMES = httpx.Timeout(30.0, read=None)  # an answer takes as long as it takes; Ctrl-C ends it
_LONGEST = 500  # characters of an error


class AtServer:
    """A model behind an OpenAI-compatible API.

    Args:
        url: Where the API begins; ``/v1`` is added where there is no path.
        key: Sent as the bearer token; None: no key.
        model: The server's name for the model; None: the first that it lists.
        settings: Settings of a call by OpenAI's names, such as ``temperature``.
        own: What only our server knows, such as ``namespace``.

    Raises:
        SettingError: If the URL is none.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        model: str | None,
        settings: Mapping[str, Any],
        own: Mapping[str, Any],
    ) -> None:
        self._url = _base(url)
        headers = {"Authorization": f"Bearer {_sendable(key)}"} if key else {}
        self._client = httpx.Client(headers=headers, timeout=_TIMES)
        self._model, self._settings, self._own = model, settings, own
        self._ours = False

    @property
    def title(self) -> str:
        """Model and server."""
        return f"{clean(str(self._model))} at {self._url}"

    def open(self) -> None:
        """Ask the server which models it has, and whether it is ours.

        Raises:
            LatentAgentError: If it does not answer, or has none while none is named.
        """
        try:
            listed = self._told("GET", "/models").get("data")
        except LatentAgentError:
            if self._model is None:
                raise
            listed = None  # some servers list none
        found = [one for one in listed or [] if isinstance(one, dict)]
        named = [one for one in found if self._model in (None, one.get("id"))]
        if self._model is None and not named:
            raise LatentAgentError(
                f"a server must list a model if none is named, but {self._url}/models has none; "
                "give --model"
            )
        if named:
            self._model = str(named[0].get("id"))
            self._ours = named[0].get("owned_by") == _OURS
        if self._own and not self._ours:
            raise SettingError(
                f"{', '.join(map(repr, self._own))} must go to a server of latent-agent, but "
                f"{self._url} is another; leave these options out"
            )

    def answer(self, turns: Sequence[Turn], show: Show) -> Reply:
        """Answer a conversation."""
        asked: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": _ROLES[role], "content": text} for role, text in turns],
            "stream": True,
            **self._settings,
        }
        if self._ours:
            asked["latent_agent"] = {"progress": True, **self._own}
        text, finish = "", None
        way: Mapping[str, Any] | None = None
        with self._request("POST", "/chat/completions", asked) as response:
            for chunk in _events(response):
                way = _show_way(chunk.get("latent_agent"), show) or way
                for choice in (chunk.get("choices") or [])[:1]:
                    delta = choice.get("delta") or {}
                    if thought := delta.get("reasoning_content"):
                        show("thought", thought)
                    if piece := delta.get("content"):
                        show("answer", piece)
                        text += piece
                    finish = choice.get("finish_reason") or finish
        return Reply(
            text=text,
            cut=finish == "length",
            way=way,
            id=None if way is None else way.get("answer_id"),
        )

    def rate(self, answer: Reply, said: Said) -> str:
        """Keep what is said of an answer in the server's memory."""
        if answer.way is None:
            raise LatentAgentError(
                "an answer must come from a server of ours if it is to be rated, but "
                f"{self._url} is another; talk to one that `latent-agent serve` started"
            )
        if answer.id is None:
            raise LatentAgentError(
                "an answer must have been kept to be rated, but this one was not "
                f"({answer.way.get('memory_error') or 'there is no memory'}); see the server's log"
            )
        given = {"score": said.score, "comment": said.comment, "correction": said.correction}
        kept = {name: value for name, value in given.items() if value is not None}
        whose = {"namespace": self._own["namespace"]} if "namespace" in self._own else {}
        told = self._told("POST", "/feedback", {"id": answer.id, **kept, **whose})
        return rated_text(float(told["reward"]), said, pending=bool(told.get("pending")))

    def question_of(self, trace: int) -> str | None:  # noqa: ARG002
        """Return None: the server shows questions on its memory pages alone."""
        return None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _told(self, method: str, path: str, asked: Any = None) -> dict[str, Any]:
        with self._request(method, path, asked) as response:
            body = response.read()
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise LatentAgentError(
                f"a server must answer with a JSON object, got {body[:80]!r} from "
                f"{self._url}{path}; see that --url ends where its API begins"
            )
        return told

    @contextmanager
    def _request(self, method: str, path: str, asked: Any) -> Generator[httpx.Response]:
        """Send a request; what the network or the server refuses is an error of ours."""
        try:
            with self._client.stream(method, f"{self._url}{path}", json=asked) as response:
                if not response.is_success:
                    raise LatentAgentError(self._refusal(response))
                yield response
        except httpx.HTTPError as error:
            raise LatentAgentError(
                f"a server must answer at {self._url}, got {str(error) or type(error).__name__!r}; "
                "see that it runs, and that --url is right"
            ) from error

    def _refusal(self, response: httpx.Response) -> str:
        body = response.read()
        try:
            error = json.loads(body).get("error") or {}
            said = error.get("message") if isinstance(error, dict) else error
        except (ValueError, AttributeError):
            said = None
        words = clean(str(said or body[:_LONGEST].decode("utf-8", "replace") or "nothing"))
        remedy = {
            401: "; give --key or set LATENT_AGENT_API_KEY",
            404: "; see that --url ends where the API begins, as in http://localhost:8000/v1",
        }
        status = response.status_code
        return f"{self._url} answered {status}: {words[:_LONGEST]}{remedy.get(status, '')}"


def _base(url: str) -> str:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, known = urlsplit(""), False
    if not known:
        raise SettingError(
            f"a server must be named by its URL, got {url!r}; for example http://localhost:8000/v1"
        )
    return url.rstrip("/") if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/v1"


def _sendable(key: str) -> str:
    """Return a key that a header can hold; it is not shown in the error."""
    if not key.isascii() or not key.isprintable():
        raise SettingError(
            "a key must be printable ASCII, got other characters in it; see LATENT_AGENT_API_KEY "
            "for a stray line break"
        )
    return key


def _events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a stream; raise LatentAgentError for an error in it."""
    for line in response.iter_lines():
        told = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if not told:  # a comment keeps the line open
            continue
        if told == "[DONE]":
            return
        try:
            chunk = json.loads(told)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict) or chunk.get("error"):
            said = chunk.get("error") if isinstance(chunk, dict) else told
            words = said.get("message") if isinstance(said, dict) else said
            raise LatentAgentError(
                f"a stream must be chunks of an answer, got {clean(str(words))[:_LONGEST]!r}; ask "
                "again"
            )
        yield chunk


def _show_way(ours: Any, show: Show) -> Mapping[str, Any] | None:
    """Show progress; return how the answer came about, once that is told."""
    if not isinstance(ours, dict):
        return None
    if "event" not in ours:
        return ours
    event = str(ours["event"])
    if event == "draft":
        show("drafted", str(ours.get("text", "")))
    if doing := doing_text(event, ours):
        show("doing", doing)
    return None
