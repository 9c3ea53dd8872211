"""Images with one random rectangle turned grey.

An augmentation, local greyscale patch replacement (LGPR, Gong et al. 2021), and the reference of the local
transformation attack (LTA, Gong et al. 2022).
"""

from __future__ import annotations

import torch

#: ITU-R BT.601: what "grey" means to Pillow and OpenCV.
_LUMA = (0.299, 0.587, 0.114)
#: Share of the image, and height over width, drawn uniformly, as its authors' code draws them; random erasing has the
#: same (Zhong et al. 2017 and their code).
SHARE, ASPECT = (0.02, 0.4), (0.3, 1 / 0.3)


def grey_patches(x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Return ``x`` with one rectangle of each image turned grey.

    The rectangle covers 2 to 40 % of the image at an aspect of 0.3 to 3.3 (sides that would pass the image's are cut).

    Args:
        x: (N, 3, H, W), red, green, blue.
        generator: of the rectangles, on the CPU: the same on every device.
    """
    count, _, height, width = x.shape
    draws = torch.rand(count, 4, generator=generator, dtype=torch.float64)
    area = (SHARE[0] + (SHARE[1] - SHARE[0]) * draws[:, 0]) * height * width
    aspect = ASPECT[0] + (ASPECT[1] - ASPECT[0]) * draws[:, 1]
    tall = (area * aspect).sqrt().round().clamp(1, height)
    wide = (area / aspect).sqrt().round().clamp(1, width)
    top = (draws[:, 2] * (height - tall + 1)).floor()
    left = (draws[:, 3] * (width - wide + 1)).floor()
    rows, columns = torch.arange(height), torch.arange(width)
    inside = ((rows >= top[:, None]) & (rows < (top + tall)[:, None]))[:, :, None] & (
        (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    )[:, None, :]
    grey = (x * x.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
    return torch.where(inside[:, None].to(x.device), grey, x)
