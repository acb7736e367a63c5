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

Sent = Annotated[Form, Depends(sent_form)]
_SCORES = {"up": 1.0, "down": 0.0}


class PageChanges:
    """What changes something: each a POST that bears the visitor's token."""

    def __init__(self, service: Service, guard: Guard) -> None:
        self._service = service
        self._guard = guard

    def add_to(self, router: APIRouter) -> None:
        """Add them."""
        for method, path, answer in (
            ("POST", "/traces/{id}/rate", self._rate),
            ("POST", "/traces/{id}/forget", self._forget_trace),
            ("POST", "/forget", self._forget_namespace),
            ("POST", "/priors/{version}/publish", self._publish_prior),
            ("POST", "/priors/{version}/rollback", self._roll_prior_back),
        ):
            router.add_api_route(path, answer, methods=[method])

    def _rate(self, request: Request, id: str, form: Sent) -> Response:
        visitor = self._guard.changes(request, form, Right.RATE)
        stored = trace_in(self._guard.memory, visitor.key, number(id))
        correction = shown_of(form, "correction")
        if correction is None and form.get("score") not in _SCORES:
            raise PageError(400, "No rating", "Choose right or wrong, or write a correction.")
        self._service.chat.feedback(
            stored.id,
            _SCORES.get(form.get("score", "")) if correction is None else None,
            comment=shown_of(form, "comment"),
            correction=correction,
            namespace=stored.trace.shelf.namespace,
        )
        return go(f"/traces/{stored.id}", done="rated" if correction is None else "corrected")

    def _forget_trace(self, request: Request, id: str, form: Sent) -> Response:
        visitor = self._guard.changes(request, form, Right.OPERATE)
        stored = trace_in(self._guard.memory, visitor.key, number(id))
        self._guard.memory.forget(ids=[stored.id], strict="strict" in form)
        return go("/traces", namespace=stored.trace.shelf.namespace, done="forgotten")

    def _forget_namespace(self, request: Request, form: Sent) -> Response:
        visitor = self._guard.changes(request, form, Right.OPERATE)
        namespace = self._guard.namespace(visitor, form.get("namespace"))
        if namespace is None or form.get("typed", "").strip() != namespace:
            raise PageError(
                400, "Nothing was forgotten", "Type the namespace's name to forget all of it."
            )
        self._guard.memory.forget(namespace=namespace, strict="strict" in form)
        return go("/traces", namespace=namespace, done="forgotten")

    def _publish_prior(self, request: Request, version: str, form: Sent) -> Response:
        info = self._prior(self._guard.changes(request, form, Right.OPERATE), version)
        database = self._guard.memory.database
        ActivePrior.of(info, info.shelf, database)  # a damaged one is not published
        publish(database, info.version)
        return go("/priors", namespace=info.shelf.namespace, done="published")

    def _roll_prior_back(self, request: Request, version: str, form: Sent) -> Response:
        info = self._prior(self._guard.changes(request, form, Right.OPERATE), version)
        now = active_prior(self._guard.memory.database, info.shelf)
        if now is None or now.version != info.version:
            raise PageError(
                409, "Not active", f"Prior {info.version} is not active any more. Load the page "
                "again to see which one is."
            )  # fmt: skip
        roll_back(self._guard.memory.database, info.shelf)
        return go("/priors", namespace=info.shelf.namespace, done="rolled-back")

    def _prior(self, visitor: Visitor, version: str) -> PriorInfo:
        which = number(version)
        try:
            info = None if which is None else find_prior(self._guard.memory.database, which)
        except UnknownPriorError:
            info = None
        if info is None or not visitor.key.sees(info.shelf.namespace):
            raise PageError(404, "No such prior", "It is not on record, or not for this key.")
        return info
