"""Pages to look at: overview, traces, nights, priors."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from latent_agent.server.keys import Right
from latent_agent.server.memory_page.page import contents
from latent_agent.server.pages.guard import Guard, PageError, Visitor
from latent_agent.server.pages.night_view import night_view, nights_view
from latent_agent.server.pages.prior_view import priors_view
from latent_agent.server.pages.rendering import BASE, page
from latent_agent.server.pages.trace_view import trace_in, trace_view, traces_view
from latent_memory.priors.nights import find_night, list_nights

_SAID = {
    "rated": "The rating is kept.",
    "corrected": "The correction is kept. Similar questions start from it once the model has read "
    "it, at the latest in the next night.",
    "forgotten": "Forgotten: its bytes have left the files.",
    "published": "The prior is published. Calls that begin now use it.",
    "rolled-back": "Rolled back. The prior before it is active again, if there is one.",
}
_LINKS = {"night": f"{BASE}/nights/", "id": f"{BASE}/traces/"}


class Looks:
    """The pages that change nothing."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def add_to(self, router: APIRouter) -> None:
        """Add them."""
        for method, path, answer in (
            ("GET", "", self._overview),
            ("GET", "/traces", self._traces),
            ("GET", "/traces/{id}", self._trace),
            ("GET", "/nights", self._nights),
            ("GET", "/nights/{id}", self._night),
            ("GET", "/priors", self._priors),
            ("GET", "/traces/{id}/forget", self._forget_trace),
            ("GET", "/forget", self._forget_namespace),
        ):
            router.add_api_route(path, answer, methods=[method])

    def _seen(
        self, request: Request, wanted: str | None = None
    ) -> tuple[Visitor, Mapping[str, Any]]:
        """Return who looks, and what stands around every page."""
        visitor = self._guard.visitor(request)
        namespace = self._guard.namespace(visitor, wanted)
        return visitor, {
            "namespace": namespace,
            "namespaces": self._guard.namespaces(visitor),
            "every": visitor.key.namespaces is None,
            "said": _SAID.get(request.query_params.get("done", ""), ""),
        }

    def _overview(self, request: Request, namespace: str | None = None) -> Response:
        visitor, around = self._seen(request, namespace)
        shown = contents(
            self._guard.memory,
            namespace=around["namespace"],
            texts=True,
            whole=visitor.key.namespaces is None,
        )
        return page("overview.html.j2", visitor, **{**shown, **around, "links": _LINKS})

    def _traces(
        self, request: Request, namespace: str | None = None, before: str | None = None
    ) -> Response:
        visitor, around = self._seen(request, namespace)
        shown = traces_view(self._guard.memory, around["namespace"], number(before))
        return page("traces.html.j2", visitor, **around, **shown)

    def _trace(self, request: Request, id: str) -> Response:
        visitor, around = self._seen(request)
        stored = trace_in(self._guard.memory, visitor.key, number(id))
        shown = trace_view(self._guard.memory, visitor.key, stored)
        return page("trace.html.j2", visitor, **around, **shown)

    def _nights(self, request: Request, namespace: str | None = None) -> Response:
        visitor, around = self._seen(request, namespace)
        known = list_nights(self._guard.memory.database)
        here = [one for one in known if around["namespace"] in (None, one.shelf.namespace)]
        return page("nights.html.j2", visitor, **around, **nights_view(here))

    def _night(self, request: Request, id: str) -> Response:
        visitor, around = self._seen(request)
        which = number(id)
        found = None if which is None else find_night(self._guard.memory.database, which)
        if found is None or not visitor.key.sees(found.shelf.namespace):
            raise PageError(404, "No such night", "It is not on record, or not for this key.")
        return page("night.html.j2", visitor, **around, **night_view(found))

    def _priors(self, request: Request, namespace: str | None = None) -> Response:
        visitor, around = self._seen(request, namespace)
        shown = priors_view(self._guard.memory, around["namespace"])
        return page("priors.html.j2", visitor, **around, **shown)

    def _forget_trace(self, request: Request, id: str) -> Response:
        visitor = self._guard.visitor(request, Right.OPERATE)
        _, around = self._seen(request)
        stored = trace_in(self._guard.memory, visitor.key, number(id))
        shown = {"trace": stored, "count": 1, "address": f"{BASE}/traces/{stored.id}/forget"}
        return page("forget.html.j2", visitor, **around, **shown)

    def _forget_namespace(self, request: Request, namespace: str | None = None) -> Response:
        visitor = self._guard.visitor(request, Right.OPERATE)
        _, around = self._seen(request, namespace)
        whose = around["namespace"]
        if whose is None:
            raise PageError(400, "No namespace", "Choose a namespace on the overview first.")
        count = self._guard.memory.forget(namespace=whose, dry_run=True)
        shown = {"trace": None, "count": count, "address": f"{BASE}/forget"}
        return page("forget.html.j2", visitor, **around, **shown)


def number(text: str | None) -> int | None:
    """Return a number that an id may be; None: it is none."""
    if text is None or not (text.isascii() and text.isdecimal() and len(text) <= 18):
        return None
    return int(text)
