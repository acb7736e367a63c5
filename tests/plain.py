"""LatentSeek in its plainest form; `latent-agent bench call` measures the same."""

from latent_agent.benchmark.plain import PlainLM, plain_latentseek

__all__ = ["PlainLM", "plain_latentseek"]
