"""What the pages change: ratings, corrections, priors, and what is forgotten."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from latent_agent.recall.active_prior import ActivePrior
from latent_agent.server.keys import Right
from latent_agent.server.pages.guard import Form, Guard, PageError, Visitor, sent_form
from latent_agent.server.pages.looking import number
from latent_agent.server.pages.rendering import go, shown_of
from latent_agent.server.pages.trace_view import trace_in
from latent_agent.server.service import Service
from latent_memory.priors.priors import PriorInfo, UnknownPriorError, active_prior, find_prior
from latent_memory.priors.publishing import publish, roll_back

# pyright: reportUnusedFunction=false

Sent = Annotated[Form, Depends(sent_form)]
_SCORES = {"up": 1.0, "down": 0.0}


def add_changes(router: APIRouter, service: Service, guard: Guard) -> None:
    """Add what changes something: each a POST that bears the visitor's token."""

    @router.post("/traces/{id}/rate")
    def rate(request: Request, id: str, form: Sent) -> Response:
        visitor = guard.changes(request, form, Right.RATE)
        stored = trace_in(guard.memory, visitor.key, number(id))
        correction = shown_of(form, "correction")
        if correction is None and form.get("score") not in _SCORES:
            raise PageError(400, "No rating", "Choose right or wrong, or write a correction.")
        service.chat.feedback(
            stored.id,
            _SCORES.get(form.get("score", "")) if correction is None else None,
            comment=shown_of(form, "comment"),
            correction=correction,
            namespace=stored.trace.shelf.namespace,
        )
        return go(f"/traces/{stored.id}", done="rated" if correction is None else "corrected")

    @router.post("/traces/{id}/forget")
    def forget_trace(request: Request, id: str, form: Sent) -> Response:
        visitor = guard.changes(request, form, Right.OPERATE)
        stored = trace_in(guard.memory, visitor.key, number(id))
        guard.memory.forget(ids=[stored.id], strict="strict" in form)
        return go("/traces", namespace=stored.trace.shelf.namespace, done="forgotten")

    @router.post("/forget")
    def forget_namespace(request: Request, form: Sent) -> Response:
        visitor = guard.changes(request, form, Right.OPERATE)
        namespace = guard.namespace(visitor, form.get("namespace"))
        if namespace is None or form.get("typed", "").strip() != namespace:
            raise PageError(
                400, "Nothing was forgotten", "Type the namespace's name to forget all of it."
            )
        guard.memory.forget(namespace=namespace, strict="strict" in form)
        return go("/traces", namespace=namespace, done="forgotten")

    @router.post("/priors/{version}/publish")
    def publish_prior(request: Request, version: str, form: Sent) -> Response:
        info = _prior(guard, guard.changes(request, form, Right.OPERATE), version)
        ActivePrior.of(info, info.shelf, guard.memory.path)  # a damaged one is not published
        publish(guard.memory.database, info.version)
        return go("/priors", namespace=info.shelf.namespace, done="published")

    @router.post("/priors/{version}/rollback")
    def roll_prior_back(request: Request, version: str, form: Sent) -> Response:
        info = _prior(guard, guard.changes(request, form, Right.OPERATE), version)
        now = active_prior(guard.memory.database, info.shelf)
        if now is None or now.version != info.version:
            raise PageError(
                409, "Not active", f"Prior {info.version} is not active any more. Load the page "
                "again to see which one is."
            )  # fmt: skip
        roll_back(guard.memory.database, info.shelf)
        return go("/priors", namespace=info.shelf.namespace, done="rolled-back")


def _prior(guard: Guard, visitor: Visitor, version: str) -> PriorInfo:
    which = number(version)
    try:
        info = None if which is None else find_prior(guard.memory.database, which)
    except UnknownPriorError:
        info = None
    if info is None or not visitor.key.sees(info.shelf.namespace):
        raise PageError(404, "No such prior", "It is not on record, or not for this key.")
    return info
