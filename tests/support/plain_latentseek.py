"""LatentSeek in its plainest form; `python -m dev.bench call` measures the same."""

from dev.bench.plain import PlainLM, plain_latentseek

__all__ = ["PlainLM", "plain_latentseek"]
