"""The wing of person re-identification: its task, recipe, losses, data, models, attacks and evaluation."""
