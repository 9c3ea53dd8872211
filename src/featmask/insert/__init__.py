"""Put a mask layer behind a shallow layer of any CNN, and take it out again.

``attach(model, layer)`` is the whole of it::

    import featmask as fm
    fm.attach(model, fm.LocalFeatureMasking(p=0.15), at="stem")

The layer is any ``nn.Module`` without parameters or state that takes and returns an N x C x H x W tensor:
``LocalFeatureMasking``, ``nn.Dropout2d``, torchvision's ``DropBlock2d``, a random-erasing transform.

What is guaranteed, each held by a test:

* The keys of ``state_dict()`` stay as they were, and strict loading works in both directions.
* ``model.train()`` and ``model.eval()`` reach the layer, so a layer that is the identity in ``eval()`` leaves the
  outputs bit for bit as they were. The layer takes over the target's mode when it is attached.
* It runs once per call of its target: once per forward, or more often if the model calls the target again.
* ``copy.deepcopy`` (EMA, SWA), pickle and ``torch.save`` carry the layer along; a copy calls its own layer.
* No container gains or loses a child, so ``model.children()``, the indices of an ``nn.Sequential`` and loops over
  blocks stay as they were. The layer lives as ``feature_mask`` inside a module that holds no others: the target
  itself if it is such a leaf, else the first convolution or linear layer inside the target, while the hook stays on
  the target. Putting that one module alone into ``eval()`` therefore switches the mask off.
* Finding the place runs one forward in eval mode without gradients, and leaves training flags, batch statistics and
  the random state as they were.
* ``detach`` restores the model, on a copy or an unpickled model too.

``torch.compile`` (before or after attaching), ``torch.export``, ONNX export, ``torch.fx`` and feature extractors keep
the layer, with one exception: ``torch.fx`` does not record hooks of the root, so ``at="input"`` is lost there. The
compiler does not notice hooks that come or go after a compiled forward, so attaching and removing call
``torch.compiler.reset()``: whatever is compiled compiles again at its next call. A scripted (``torch.jit.script``) or
quantised model is refused: attach before converting. Fusing a convolution with its batch norm in eval mode keeps the
results; the fused convolution carries its own copy of the layer, now behind the norm.
"""

from .attachment import Attachment, attach, attached, detach
from .hooks import inplace_is_safe
from .points import Point, point_shape, shallow_points

__all__ = ["Attachment", "Point", "attach", "attached", "detach", "inplace_is_safe", "point_shape", "shallow_points"]
