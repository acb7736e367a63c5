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

# pyright: reportUnusedFunction=false

_SAID = {
    "rated": "The rating is kept.",
    "corrected": "The correction is kept. Similar questions start from it once the model has read "
    "it, at the latest in the next night.",
    "forgotten": "Forgotten: its bytes have left the files.",
    "published": "The prior is published. Calls that begin now use it.",
    "rolled-back": "Rolled back. The prior before it is active again, if there is one.",
}
_LINKS = {"night": f"{BASE}/nights/", "id": f"{BASE}/traces/"}


def add_looks(router: APIRouter, guard: Guard) -> None:
    """Add the pages that change nothing."""

    def seen(request: Request, wanted: str | None = None) -> tuple[Visitor, Mapping[str, Any]]:
        """Return who looks, and what stands around every page."""
        visitor = guard.visitor(request)
        namespace = guard.namespace(visitor, wanted)
        return visitor, {
            "namespace": namespace,
            "namespaces": guard.namespaces(visitor),
            "every": visitor.key.namespaces is None,
            "said": _SAID.get(request.query_params.get("done", ""), ""),
        }

    @router.get("")
    def overview(request: Request, namespace: str | None = None) -> Response:
        visitor, around = seen(request, namespace)
        shown = contents(
            guard.memory,
            namespace=around["namespace"],
            texts=True,
            whole=visitor.key.namespaces is None,
        )
        return page("overview.html.j2", visitor, **{**shown, **around, "links": _LINKS})

    @router.get("/traces")
    def traces(
        request: Request, namespace: str | None = None, before: str | None = None
    ) -> Response:
        visitor, around = seen(request, namespace)
        shown = traces_view(guard.memory, around["namespace"], number(before))
        return page("traces.html.j2", visitor, **around, **shown)

    @router.get("/traces/{id}")
    def trace(request: Request, id: str) -> Response:
        visitor, around = seen(request)
        stored = trace_in(guard.memory, visitor.key, number(id))
        shown = trace_view(guard.memory, visitor.key, stored)
        return page("trace.html.j2", visitor, **around, **shown)

    @router.get("/nights")
    def nights(request: Request, namespace: str | None = None) -> Response:
        visitor, around = seen(request, namespace)
        known = list_nights(guard.memory.database)
        here = [one for one in known if around["namespace"] in (None, one.shelf.namespace)]
        return page("nights.html.j2", visitor, **around, **nights_view(here))

    @router.get("/nights/{id}")
    def night(request: Request, id: str) -> Response:
        visitor, around = seen(request)
        which = number(id)
        found = None if which is None else find_night(guard.memory.database, which)
        if found is None or not visitor.key.sees(found.shelf.namespace):
            raise PageError(404, "No such night", "It is not on record, or not for this key.")
        return page("night.html.j2", visitor, **around, **night_view(found))

    @router.get("/priors")
    def priors(request: Request, namespace: str | None = None) -> Response:
        visitor, around = seen(request, namespace)
        shown = priors_view(guard.memory, around["namespace"])
        return page("priors.html.j2", visitor, **around, **shown)

    @router.get("/traces/{id}/forget")
    def forget_trace(request: Request, id: str) -> Response:
        visitor = guard.visitor(request, Right.OPERATE)
        _, around = seen(request)
        stored = trace_in(guard.memory, visitor.key, number(id))
        shown = {"trace": stored, "count": 1, "address": f"{BASE}/traces/{stored.id}/forget"}
        return page("forget.html.j2", visitor, **around, **shown)

    @router.get("/forget")
    def forget_namespace(request: Request, namespace: str | None = None) -> Response:
        visitor = guard.visitor(request, Right.OPERATE)
        _, around = seen(request, namespace)
        whose = around["namespace"]
        if whose is None:
            raise PageError(400, "No namespace", "Choose a namespace on the overview first.")
        count = guard.memory.forget(namespace=whose, dry_run=True)
        shown = {"trace": None, "count": count, "address": f"{BASE}/forget"}
        return page("forget.html.j2", visitor, **around, **shown)


def number(text: str | None) -> int | None:
    """Return a number that an id may be; None: it is none."""
    if text is None or not (text.isascii() and text.isdecimal() and len(text) <= 18):
        return None
    return int(text)
