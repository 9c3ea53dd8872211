"""Models of another origin: wrapped, or read from TorchScript, exported programs and ONNX."""

from .reading import read_model
from .wrapping import Foreign, wrap

__all__ = ["Foreign", "read_model", "wrap"]
