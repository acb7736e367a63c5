"""The memory pages: what a server remembers, for its operators' browsers."""

from latent_agent.server.pages.routes import router

__all__ = ["router"]
