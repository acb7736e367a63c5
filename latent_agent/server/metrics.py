"""Metrics for Prometheus: counts and seconds; no text of a request is among them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from latent_agent.server.service import Service

_PREFIX = "latent_agent"
_SECONDS = (0.005, 0.02, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """What a server counts.

    Args:
        service: Whose queue is looked at when somebody asks.
    """

    def __init__(self, service: Service) -> None:
        self._registry = registry = CollectorRegistry()

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", meaning, labels, registry=registry)

        self.requests = counter(
            "requests", "Requests, by route, status and key", "route", "status", "key"
        )
        self.tokens = counter("tokens", "Of prompts and answers, as clients count them", "kind")
        self.forwarded = counter(
            "forwarded_tokens", "Positions through the model's body, by stage", "stage"
        )
        self.ratings = counter("ratings", "Feedback on answers, by rating", "rating")
        self.failed_streams = counter("failed_streams", "Streams that ended with an error")
        self.nights = counter("nights", "Nights that ran inside, by verdict", "verdict")
        self.seconds = Histogram(
            f"{_PREFIX}_request_seconds",
            "From a request to the end of its answer",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", meaning, registry=registry)

        self.unanswered = gauge("unanswered_requests", "Requests under way")
        waiting = gauge("waiting_calls", "Calls that wait for the model")
        waiting.set_function(lambda: service.shared.queue.waiting)
        loaded = gauge("model_loaded", "Whether the model's weights are read")
        loaded.set_function(lambda: service.shared.loaded)

    def text(self) -> bytes:
        """Return them all, in Prometheus's form."""
        return generate_latest(self._registry)
