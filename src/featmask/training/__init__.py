"""Training one model: the loop and all that it needs, whatever the field."""

from .loop import TrainingTask, fit, seed_everything

__all__ = ["TrainingTask", "fit", "seed_everything"]
