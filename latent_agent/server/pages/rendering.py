"""Pages as they are sent: templates, headers, and pages that say what went wrong."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute

from latent_agent.errors import LatentAgentError
from latent_agent.server.memory_page.page import environment
from latent_agent.server.memory_page.texts import clean
from latent_agent.server.pages.guard import LoginNeeded, PageError, Visitor
from latent_memory import FeedbackError, LatentMemoryError

BASE = "/memory"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With no-referrer a browser would not say which page sends a form.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TEMPLATES = environment("latent_agent.server.pages")
_TEMPLATES.filters["clean"] = clean

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def page(name: str, visitor: Visitor | None, status: int = 200, /, **shown: Any) -> HTMLResponse:
    """Return a page, made of a template."""
    text = _TEMPLATES.get_template(name).render(**{"said": "", **shown}, visitor=visitor, base=BASE)
    return HTMLResponse(text.encode("utf-8", "replace"), status, HEADERS)


def stylesheet() -> Response:
    """Return the style of all pages; it tells nothing, so a browser may keep it."""
    text = _TEMPLATES.get_template("pages.css").render()
    kept = {**HEADERS, "Cache-Control": "max-age=300"}
    return Response(text, media_type="text/css", headers=kept)


def go(path: str, **query: str | None) -> RedirectResponse:
    """Send a browser on, with a GET."""
    given = {name: value for name, value in query.items() if value is not None}
    address = f"{BASE}{path}{'?' if given else ''}{urlencode(given)}"
    return RedirectResponse(address, 303, HEADERS)


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Handler:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await answer(request)
            except LoginNeeded:
                wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return go("/login", next=wanted if request.method == "GET" else None)
            except PageError as error:
                return _told(error)
            except FeedbackError as error:
                return _told(PageError(400, "Not kept", f"{clean(str(error))}."))
            except (LatentMemoryError, LatentAgentError) as error:
                return _told(PageError(503, "This did not work", f"{clean(str(error))}."))

        return answered


def _told(error: PageError) -> Response:
    response = page("error.html.j2", None, error.status, title=error.title, text=error.text)
    if error.wait is not None:
        response.headers["Retry-After"] = str(error.wait)
    return response


def shown_of(form: Mapping[str, Any], name: str) -> str | None:
    """Return a field that says something."""
    value = str(form.get(name, "")).strip()
    return value or None
