"""Who looks at the pages, and whether a change is theirs: decided here for all of them."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request

from latent_agent.server.access import LOCAL, LOOPBACK
from latent_agent.server.keys import Key, Right
from latent_agent.server.pages.sessions import Attempts, Sessions, new_token
from latent_agent.server.service import Service
from latent_memory import LatentMemory

COOKIE = "latent_agent_session"
_FORM = "application/x-www-form-urlencoded"
_FIELDS = 20

Form = Mapping[str, str]


class PageError(Exception):
    """A page that says what is wrong.

    Args:
        status: HTTP's.
        title: In a few words.
        text: With the remedy.
        wait: Seconds after which to try again.
    """

    def __init__(self, status: int, title: str, text: str, wait: int | None = None) -> None:
        super().__init__(title)
        self.status, self.title, self.text, self.wait = status, title, text, wait


class LoginNeeded(Exception):  # noqa: N818 - a way on, not a mistake
    """Nobody is logged in."""


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Who looks.

    Attributes:
        key: Their key.
        token: What their changes must bear.
        session: Id of their session; None where there are no keys, and nobody logs in.
    """

    key: Key
    token: str
    session: str | None

    def may(self, right: str) -> bool:
        """Whether they have a right."""
        return self.key.may(Right(right))


class Guard:
    """Lets visitors in.

    Args:
        service: What is looked at.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.sessions, self.attempts = Sessions(), Attempts()
        self._local = Visitor(key=LOCAL, token=new_token(), session=None)

    @property
    def logs_in(self) -> bool:
        """Whether visitors log in with a key."""
        return self._service.keys is not None

    @property
    def memory(self) -> LatentMemory:
        """What is looked at.

        Raises:
            PageError: If the server keeps none.
        """
        if self._service.memory is None:
            raise PageError(
                404, "No memory", "This server was started with --no-memory: it remembers nothing."
            )
        return self._service.memory

    def visitor(self, request: Request, right: Right = Right.READ) -> Visitor:
        """Return who looks.

        Raises:
            LoginNeeded: If nobody is logged in.
            PageError: If they lack the right.
        """
        self.check_host(request)
        self._check_reader(request)
        visitor = self._visitor(request)
        request.state.key = visitor.key.name  # for the log
        if not visitor.key.may(right):
            raise PageError(
                403,
                "Not allowed",
                f"Key {visitor.key.name} lacks the right to {right.value}. Ask the operator for "
                "it, or log in with another key.",
            )
        return visitor

    def _visitor(self, request: Request) -> Visitor:
        if self._service.keys is None:
            return self._local
        id_ = request.cookies.get(COOKIE, "")
        session = self.sessions.find(id_)
        key = None if session is None else self._service.keys.find(session.secret)
        if session is None or key is None:
            self.sessions.end(id_)
            raise LoginNeeded
        return Visitor(key=key, token=session.token, session=id_)

    def changes(self, request: Request, form: Form, right: Right) -> Visitor:
        """Return who changes something.

        Raises:
            LoginNeeded: If nobody is logged in.
            PageError: If the form is not one of our own pages', or they lack the right.
        """
        self.check_origin(request)
        visitor = self.visitor(request, right)
        if not hmac.compare_digest(form.get("token", "").encode(), visitor.token.encode()):
            raise PageError(
                403,
                "This form is out of date",
                "It was made before the last login, or by another page. Go back, load the page "
                "again, and send it from there.",
            )
        return visitor

    def check_host(self, request: Request) -> None:
        """Without keys, refuse names that others may have given this machine (DNS rebinding).

        Raises:
            PageError: If the request is for another host.
        """
        host = request.headers.get("host", "")
        if self._service.keys is None and _name(host) not in LOOPBACK:
            raise PageError(
                403,
                "Only this machine is served",
                "Without keys the pages are at http://127.0.0.1 alone. Start the server with "
                "--keys FILE to reach them from elsewhere.",
            )

    def _check_reader(self, request: Request) -> None:
        """Refuse scripts of other pages, those too that may ask the server (CORS).

        Raises:
            PageError: If one reads a page. A link that a person follows is none.
        """
        headers = request.headers
        origin, mode = headers.get("origin"), headers.get("sec-fetch-mode", "navigate")
        foreign = origin is not None and urlsplit(origin).netloc != headers.get("host")
        elsewhere = headers.get("sec-fetch-site") == "cross-site" and mode != "navigate"
        if foreign or elsewhere:
            raise PageError(
                403, "Not for other pages", "The memory's pages are read by people, not by scripts."
            )

    def check_origin(self, request: Request) -> None:
        """See that one of our own pages sends a form.

        Raises:
            PageError: If another does, or none is named, as all browsers do.
        """
        self.check_host(request)
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        same = origin is None or urlsplit(origin).netloc == request.headers.get("host")
        if not same or site not in (None, "same-origin") or (site is None and origin is None):
            raise PageError(
                403,
                "Sent from elsewhere",
                "A change must be sent by one of these pages, from the browser. Programs use "
                "/v1/feedback and the command line.",
            )

    def namespace(self, visitor: Visitor, wanted: str | None) -> str | None:
        """Return the namespace that is looked at; None: all of them.

        Raises:
            PageError: If the visitor does not see it.
        """
        key = visitor.key
        if wanted:
            if not key.sees(wanted):
                raise PageError(404, "No such namespace", "This key sees none of this name.")
            return wanted
        if key.namespaces is None:
            return None
        if not key.namespaces:
            raise PageError(403, "Nothing to see", "This key reaches no namespace.")
        return min(key.namespaces)

    def namespaces(self, visitor: Visitor) -> list[str]:
        """List the namespaces that a visitor may look at."""
        if visitor.key.namespaces is not None:
            return sorted(visitor.key.namespaces)
        return sorted({info.shelf.namespace for info in self.memory.shelves()})


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


async def sent_form(request: Request) -> Form:
    """Read a form, which has few fields; of one that is sent twice, the last.

    Raises:
        PageError: If it is none.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()  # within the server's bounds
    try:
        if kind != _FORM:
            raise ValueError(kind)
        text = body.decode("utf-8")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError:
        raise PageError(400, "No form", "What came is no form of these pages.") from None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}
