"""``/v1/feedback``: what the user says of an answer."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from latent_agent.server.access import Access
from latent_agent.server.keys import Key, Right
from latent_agent.server.metrics import Metrics
from latent_agent.server.requests import FeedbackRequest
from latent_agent.server.service import Service
from latent_agent.server.turns import Turns

# pyright: reportUnusedFunction=false

ID = "chatcmpl-"
"""What a completion's id begins with; the run that gave the answer follows."""


def feedback(service: Service, access: Access, turns: Turns, metrics: Metrics) -> APIRouter:
    """Return the route that takes ratings and corrections."""
    router = APIRouter(tags=["feedback"])
    who = access.asker(Right.RATE)

    @router.post("/v1/feedback")
    def rate(key: Annotated[Key, Depends(who)], sent: FeedbackRequest) -> dict[str, Any]:
        """Store feedback on an answer; it is on disk once this returns."""
        namespace = access.namespace(key, sent.namespace)
        answer = sent.id.removeprefix(ID) if isinstance(sent.id, str) else sent.id
        with turns.turn(key):
            rating = service.chat.feedback(
                answer,
                sent.score,
                comment=sent.comment,
                correction=sent.correction,
                source=sent.source,
                namespace=namespace,
            )
        metrics.ratings.labels("up" if rating.reward > -0.5 else "down").inc()
        return {
            "object": "feedback",
            "trace_id": rating.trace,
            "reward": rating.reward,
            "pending": rating.pending,
        }

    return router
