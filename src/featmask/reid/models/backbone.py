"""Networks without their heads: images in, feature maps out."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from ...errors import FeatmaskError
from ...models.factory import SMALL, TORCHVISION, small_model, timm_model, torchvision_model
from ...utils.eval_mode import evaluating

Size = tuple[int, ...]

#: Size of the example image: re-identification's usual one, which leaves no remainder when it is halved five times.
#: Upright, because a square would hide channels last, and networks that are tied to one size.
_HEIGHT, _WIDTH = 256, 128
#: The one size of torchvision's transformers: there they run, and are known by their tokens.
_SQUARE = 224


def build_backbone(
    name: str, *, in_chans: int = 3, pretrained: bool = False, last_stride: int = 2
) -> tuple[nn.Module, int]:
    """Make a CNN by name that returns feature maps.

    Args:
        name: as for :func:`featmask.models.build_model`: ``resnet8``, ``resnet14``, ``resnet20``, any CNN of timm, or
            ``torchvision:NAME``. Submodules and state_dict keys keep the names they have there.
        in_chans: channels of an image; torchvision's models have three.
        pretrained: ImageNet weights.
        last_stride: 1 lets the last stage keep its resolution, so that maps are twice as high and wide. Nothing is
            dilated and no weight changes (as in Sun et al. 2018 and Luo et al. 2019).

    Returns:
        A module from normalised images (N, in_chans, H, W) to maps (N, D, h, w), and D.

    Raises:
        FeatmaskError: no such model or weights, a model that gives no maps (a vision transformer) or is tied to one
            size of images, or one whose last stride cannot be set (ConvNeXt: its 2 x 2 convolutions have no centre).
    """
    if last_stride not in (1, 2):
        raise FeatmaskError(f"last_stride: expected 1 or 2, got {last_stride!r}")
    model: nn.Module
    if name in SMALL:
        model = small_model(name, num_classes=0, in_chans=in_chans, pretrained=pretrained)
    elif name.startswith(TORCHVISION):
        model = _until_maps(name, torchvision_model(name, in_chans=in_chans, pretrained=pretrained))
    else:
        model = timm_model(name, num_classes=0, in_chans=in_chans, pretrained=pretrained, global_pool="")
    try:
        shape = _shape_of_maps(model, in_chans)
    except Exception as error:  # whatever a network says to an image that it does not take
        raise _no_maps(name, f"it fails on an image of {_HEIGHT} x {_WIDTH} ({_reason(error)})") from error
    if len(shape) != 4:
        raise _no_maps(name, f"it returns {_text(shape)}")
    if shape[2] < shape[3]:
        # an upright image has upright maps, so this is N x h x w x D
        raise _no_maps(name, f"it returns {_text(shape)}, channels last")
    if last_stride == 1:
        _keep_last_resolution(name, model, in_chans, shape)
    return model, shape[1]


class _CallTracer(fx.Tracer):
    """Records what the model's own ``forward`` calls, and nothing inside: stages stay modules that run (and hook)."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _until_maps(name: str, model: nn.Module) -> nn.Module:
    """A torchvision classifier cut behind its last maps; what only the head needs is left out.

    One graph serves both modes: in ``forward`` itself only auxiliary heads differ, and dropout behind the maps.
    """
    try:
        with evaluating(model), torch.no_grad():
            graph = _CallTracer().trace(model)
            run = fx.Interpreter(fx.GraphModule(model, graph), garbage_collect_values=False)
            run.run(torch.zeros(1, 3, _SQUARE, _SQUARE))
    except Exception as error:
        raise _no_maps(name, f"it cannot be cut ({_reason(error)})") from error
    shapes = {node: tuple(value.shape) for node, value in run.env.items() if isinstance(value, torch.Tensor)}
    nodes = [node for node in graph.nodes if node in shapes and node.op not in ("placeholder", "get_attr")]
    maps = [node for node in nodes if _has_maps(shapes[node]) and not _is_adaptive(model, node)]
    behind = nodes[nodes.index(maps[-1]) + 1 :] if maps else nodes
    tokens = [shapes[node] for node in behind if len(shapes[node]) == 3]
    if tokens or not maps:
        raise _no_maps(name, f"inside it has {_text(tokens[0])}" if tokens else "inside it has no maps either")
    (output,) = graph.find_nodes(op="output")
    graph.erase_node(output)
    graph.output(maps[-1])
    graph.eliminate_dead_code()
    return fx.GraphModule(model, graph, class_name=type(model).__name__)


def _has_maps(shape: Size) -> bool:
    return len(shape) == 4 and shape[2] * shape[3] > 1


def _is_adaptive(model: nn.Module, node: fx.Node) -> bool:
    """A pooling to a fixed size (7 x 7 in VGG): the head's, since its output does not grow with the image."""
    return node.op == "call_module" and isinstance(model.get_submodule(str(node.target)), nn.AdaptiveAvgPool2d)


def _keep_last_resolution(name: str, model: nn.Module, in_chans: int, shape: Size) -> None:
    """Set to 1 every stride that makes the maps' resolution out of twice that."""
    halving: dict[nn.Module, None] = {}

    def note(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        if isinstance(out, torch.Tensor) and out.shape[2:] == shape[2:] and args[0].shape[2] > shape[2]:
            halving[module] = None

    # leaves alone: blocks keep a ``stride`` too, and some choose by it which of their branches run
    leaves = [module for module in model.modules() if not any(module.children())]
    hooks = [leaf.register_forward_hook(note) for leaf in leaves if getattr(leaf, "stride", None) in (2, (2, 2))]
    try:
        _shape_of_maps(model, in_chans)
    finally:
        for hook in hooks:
            hook.remove()
    for module in halving:
        _set_stride_to_1(module)
    hint = f"last_stride=1 cannot be set for {name}; use 2"
    try:
        after = _shape_of_maps(model, in_chans)
    except Exception as error:
        why = f"with a stride of 1 its branches do not fit together: {_reason(error)}"
        raise FeatmaskError(f"{hint} ({why})") from error
    expected = (*shape[:2], 2 * shape[2], 2 * shape[3])
    if after != expected:
        raise FeatmaskError(f"{hint} (expected maps of {_text(expected)}, got {_text(after)})")


def _set_stride_to_1(module: nn.Module) -> None:
    owner: Any = module  # torch types the attributes of a module as tensors and modules alone
    owner.stride = 1 if isinstance(owner.stride, int) else (1, 1)
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        side = owner.kernel_size if isinstance(owner.kernel_size, int) else owner.kernel_size[0]
        if side % 2 == 0:
            # an even window has no centre, so at stride 1 a row would be lost: pool nothing instead
            owner.kernel_size, owner.padding = 1, 0


def _shape_of_maps(model: nn.Module, in_chans: int) -> Size:
    with evaluating(model), torch.no_grad():
        return tuple(model(torch.zeros(1, in_chans, _HEIGHT, _WIDTH)).shape)


def _no_maps(name: str, found: str) -> FeatmaskError:
    return FeatmaskError(
        f"expected a CNN with feature maps (N, D, h, w) for images of any size; {name!r} is none: {found}. Vision "
        "transformers are not taken; use a CNN such as resnet50 or torchvision:resnet50"
    )


def _reason(error: Exception) -> str:
    # an assertion may say nothing
    return str(error).partition("\n")[0] or type(error).__name__


def _text(shape: Size) -> str:
    return " x ".join(map(str, shape))
