"""The bundled teaching model: its world, its trainer, its weights."""

from latent_agent.model.places import bundled_path as model_path
from latent_agent.teaching.corpus import questions
from latent_agent.teaching.world import Question, is_right

__all__ = ["Question", "is_right", "model_path", "questions"]
