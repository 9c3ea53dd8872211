"""The wing of image classification: task, recipe, adversarial training, and the suites that measure a classifier."""
