"""CUHK03 with the new protocol (767 people to learn from, 700 to test): folders of images, or the MATLAB files."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import FeatmaskError, require
from ...utils.files import new_folder
from ...utils.progress import progress
from .folders import MARKET_FOLDERS, is_market, read_market
from .scan import Scan

VARIANTS = ("detected", "labeled")
_MAT = "cuhk-03.mat"
#: ``1_023_2_08.png``: pair of cameras, person of that pair, camera of the pair, place among the person's ten images.
_CELL = re.compile(r"(\d)_(\d{3})_(\d)_(\d{2})\.png")


def variants(root: Path) -> dict[str, Path | None]:
    """The variants that a folder has: name -> its folder of images, or None where it must be extracted first."""
    found: dict[str, Path | None] = {}
    for name in VARIANTS:
        if is_market(root) and _is_cuhk(root):
            if name == ("labeled" if "label" in root.name.lower() else "detected"):
                found[name] = root
        elif is_market(root / name) and _is_cuhk(root / name):
            found[name] = root / name
        elif is_market(root / f"featmask_{name}"):
            found[name] = root / f"featmask_{name}"
        elif _config(root, name).is_file() and _images(root).is_file():
            found[name] = None
    return found


def _is_cuhk(folder: Path) -> bool:
    names = (folder.name.lower(), folder.parent.name.lower())
    return folder.name in {f"featmask_{name}" for name in VARIANTS} or (
        any(variant[:5] in names[0] for variant in VARIANTS) and any("cuhk" in name for name in names)
    )


def _config(root: Path, variant: str) -> Path:
    return root / f"cuhk03_new_protocol_config_{variant}.mat"


def _images(root: Path) -> Path:
    inside = root / "cuhk03_release" / _MAT
    return inside if inside.is_file() else root / _MAT


def read_cuhk03(root: Path, variant: str | None = None) -> Scan:
    """Read CUHK03-np: ``{detected,labeled}/`` in the Market layout, or extract them from the MATLAB files first.

    Extraction happens once: the images that ``cuhk03_new_protocol_config_*.mat`` names are taken out of
    ``cuhk-03.mat`` and written as PNG into ``<root>/featmask_detected`` or ``<root>/featmask_labeled``, beside first
    and renamed as a whole, so that a half is never read. Later calls read that folder.

    Args:
        root: the folder that holds either form.
        variant: ``detected`` (boxes by a detector; the default where both are there) or ``labeled`` (drawn by hand).

    Raises:
        FeatmaskError: the variant is not there, or the MATLAB files are damaged.
        MissingExtraError: h5py, scipy or Pillow is not installed, and images must be extracted.

    Source: Li et al., DeepReID, CVPR 2014; protocol: Zhong et al., Re-ranking Person Re-identification with
    k-reciprocal Encoding, CVPR 2017 (zhunzhong07/person-re-ranking).
    """
    found = variants(root)
    chosen = variant or next(iter(found), "detected")
    if chosen not in found:
        raise FeatmaskError(f"{root} has no CUHK03 images of the kind {chosen!r}; found: {', '.join(found) or 'none'}")
    folder = found[chosen] or _extract(root, chosen)
    scan = read_market(folder, "cuhk03np")
    scan.notes.append(f"CUHK03-np {chosen}")
    if variant is None and len(found) > 1:
        scan.notes.append("detected and labeled are both there; layout='cuhk03np-labeled' reads the other")
    return scan


def _extract(root: Path, variant: str) -> Path:
    h5py, matlab, image = require("h5py", "reid"), require("scipy.io", "reid"), require("PIL.Image", "reid")
    target = root / f"featmask_{variant}"
    try:
        config = matlab.loadmat(_config(root, variant))
        with h5py.File(_images(root), "r") as file, new_folder(target) as beside:
            pairs = [file[pair][()] for pair in np.ravel(file[variant][()])]
            _write(beside, config, partial(_cell, file, pairs), image)
    except FeatmaskError:
        raise
    except Exception as error:  # what h5py and scipy raise for damaged files is not listed anywhere
        raise FeatmaskError(f"cannot extract the images of {_images(root)}: {type(error).__name__}: {error}") from error
    return target


def _cell(file: Any, pairs: list[Any], pair: int, person: int, place: int) -> npt.NDArray[np.uint8]:
    """An image of ``cuhk-03.mat``: {variant}{pair}{person, place}. HDF5 stores MATLAB's arrays with axes reversed."""
    if min(pair, person, place) < 1:
        raise IndexError(f"MATLAB counts from 1, got {(pair, person, place)}")  # -1 would be the last cell
    pixels: npt.NDArray[np.uint8] = np.asarray(file[pairs[pair - 1][place - 1, person - 1]][()])
    return np.transpose(pixels)


def _write(folder: Path, config: dict[str, Any], cell: Callable[[int, int, int], Any], image: Any) -> None:
    names = [str(np.ravel(name)[0]) for name in np.ravel(config["filelist"])]
    pids = np.ravel(config["labels"])
    rows = {part: np.ravel(config[f"{part}_idx"]).astype(np.int64) - 1 for part in MARKET_FOLDERS}
    if any(chosen.min(initial=0) < 0 for chosen in rows.values()):
        raise FeatmaskError("the protocol counts images from 0; expected from 1, as MATLAB does")
    with progress("extracting CUHK03", sum(map(len, rows.values()))) as bar:
        for part, name in MARKET_FOLDERS.items():
            (folder / name).mkdir()
            for row in rows[part].tolist():
                match = _CELL.fullmatch(names[row])
                if match is None:
                    raise FeatmaskError(f"the protocol names {names[row]!r}; expected a name such as 1_023_2_08.png")
                pixels = cell(int(match[1]), int(match[2]), int(match[4]))
                if pixels.ndim != 3 or pixels.shape[2] != 3:
                    raise FeatmaskError(f"the protocol names {names[row]}, but {_MAT} has no image there")
                to = folder / name / f"{int(pids[row]):04d}_c{match[3]}_{names[row]}"
                image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8)).save(to)
                bar.advance()
