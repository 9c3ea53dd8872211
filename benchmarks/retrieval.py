"""What scoring and re-ranking cost at Market-1501's size, in time and in memory, one thread.

    python benchmarks/retrieval.py [--quick] [--rounds 5] [--peer PATH]

Random features with classes, L2-normalised: 3,368 queries and 15,913 gallery items as after junk removal. PATH is a
checkout of KaiyangZhou/deep-person-reid; its scoring (Cython where it is built there) and re-ranking then take turns
with ours in the same process, and results are compared. Memory is the peak beyond the features, each in a process of
its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featmask.retrieval import evaluate, rerank

MARKET, QUICK, JUNK = (3368, 15913), (420, 1990), 3819
Timed = dict[str, Callable[[], Any]]


def sample(queries: int, gallery: int, length: int, seed: int = 0, junk: int = 0) -> tuple[Any, ...]:
    """Features, ids and cameras of both sides; made a part at a time, so that making them is no peak of its own."""
    rng = np.random.default_rng(seed)
    people = max(2, (queries + gallery) // 26)
    centres = rng.standard_normal((people, length), dtype=np.float32)

    def side(count: int) -> tuple[Any, Any, Any]:
        ids, features = rng.integers(0, people, count), np.empty((count, length), dtype=np.float32)
        for start in range(0, count, 256):
            part = features[start : start + 256]
            rng.standard_normal(dtype=np.float32, out=part)
            part *= np.float32(length**0.5 / 10)
            part += centres[ids[start : start + 256]]
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        return features, ids, rng.integers(1, 7, count)

    first, second = side(queries), side(gallery + junk)
    second[1][gallery:] = -1
    return (*first, *second)


def load(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Peer:
    """torchreid's own functions, from its checkout."""

    def __init__(self, root: Path) -> None:
        metrics = root / "torchreid" / "metrics"
        self.distance = load(metrics / "distance.py", "peer_distance").euclidean_squared_distance
        self.re_ranking = load(root / "torchreid" / "utils" / "rerank.py", "peer_rerank").re_ranking
        built = sorted((metrics / "rank_cylib").glob("rank_cy*.so"))
        self.name = "torchreid, Cython" if built else "torchreid, Python"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.score = (
                load(built[0], "rank_cy").evaluate_cy if built else load(metrics / "rank.py", "r").eval_market1501
            )

    def _between(self, one: Any, other: Any) -> Any:
        return self.distance(torch.from_numpy(one), torch.from_numpy(other)).numpy()

    def evaluate(self, q: Any, qi: Any, qc: Any, g: Any, gi: Any, gc: Any) -> Any:
        """CMC and mAP, its distances included."""
        return self.score(self._between(q, g), qi, gi, qc, gc, 50)

    def rerank(self, q: Any, g: Any) -> Any:
        """Final distances, its distances included."""
        return self.re_ranking(self._between(q, g), self._between(q, q), self._between(g, g))


def race(runs: Timed, rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds of runs that take turns, and what each gave."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    gave: dict[str, Any] = {}
    for _ in range(rounds):
        for name, run in runs.items():
            gave.pop(name, None)
            start = time.perf_counter()
            gave[name] = run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}, gave


def scoring(length: int, size: tuple[int, int], rounds: int, peer: Peer | None) -> None:
    data = sample(*size, length)
    out = np.empty((512, size[1]), dtype=np.float32)

    def product() -> None:
        for start in range(0, size[0], 512):
            part = data[0][start : start + 512]
            np.matmul(part, data[3].T, out=out[: len(part)])

    runs: Timed = {"the product alone (floor)": product, "featmask": lambda: evaluate(*data)}
    if peer is not None:
        runs[peer.name] = lambda: peer.evaluate(*data)
    medians, gave = race(runs, rounds)
    for name, value in medians.items():
        print(f"| scoring, {length}-d | {name} | {value:.2f} | {value / medians['featmask']:.2f} |")
    ours = gave["featmask"]
    found = {"featmask": (ours.cmc, ours.mean_ap)} | ({peer.name: gave[peer.name][:2]} if peer else {})
    one, other = data[0].astype(np.float64), data[3].astype(np.float64)
    order = np.square(other).sum(1) / 2 - one @ other.T
    exact = evaluate(None, *data[1:3], None, *data[4:], distances=order)
    for name, (cmc, mean_ap) in found.items():
        apart = abs(np.asarray(cmc)[: len(exact.cmc)] - exact.cmc).max(), abs(float(mean_ap) - exact.mean_ap)
        print(f"| from double precision, {length}-d | {name} | CMC {apart[0]:.1e}, mAP {apart[1]:.1e} | |")


def reranking(length: int, size: tuple[int, int], rounds: int, peer: Peer | None) -> None:
    q, _, _, g, _, _ = sample(*size, length)
    runs: Timed = {"featmask": lambda: rerank(q, g)}
    if peer is not None:
        runs["torchreid"] = lambda: peer.rerank(q, g)
    medians, gave = race(runs, rounds)
    for name, value in medians.items():
        print(f"| re-ranking, {length}-d | {name} | {value:.2f} | {value / medians['featmask']:.2f} |")
    if peer is not None:
        apart = abs(gave["torchreid"] - gave["featmask"])
        print(f"| | differences: largest, share over 1e-5 | {apart.max():.1e}, {(apart > 1e-5).mean():.1e} | |")


def memory(work: str, length: int, queries: int, gallery: int, junk: int = 0) -> None:
    """Print seconds and the peak beyond the features, in MB; run in a fresh process."""
    data = sample(queries, gallery, length, junk=junk)
    tiny = sample(20, 60, 8)  # what a library sets up at its first call is no cost of the size
    evaluate(*tiny)
    rerank(tiny[0], tiny[3])
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = resident("VmRSS")
    start = time.perf_counter()
    if work == "scoring":
        evaluate(*data)
    else:
        rerank(data[0], data[3])
    took = time.perf_counter() - start
    print(f"{took:.2f} {(resident('VmHWM') - before) / 1024:.0f}")


def resident(name: str) -> int:
    """A figure of this process in KB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def scaling(work: str, length: int, size: tuple[int, int], junk: int = 0) -> None:
    for times, part in ((1, 4), (4, 2), (16, 1)):
        queries, gallery = size[0] // part, size[1] // part
        asked = [str(value) for value in (length, queries, gallery, junk // part)]
        command = [sys.executable, __file__, "--memory", work, *asked]
        took, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        held = (queries + gallery + junk // part) * length * 4 / 2**20
        shown = f"{gallery:,}" + (f" + {junk // part:,} junk" if junk else "")
        print(f"| {work}, {length}-d | {times}x: {queries:,} x {shown} | {took} | {held:.0f} | {peak} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="an eighth of the size on each side, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", type=Path, help="a checkout of deep-person-reid")
    parser.add_argument("--memory", nargs=5, metavar=("WORK", "D", "Q", "G", "JUNK"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # NumPy's library reads it once, when it is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OMP_NUM_THREADS": "1"})
    torch.set_num_threads(1)
    if arguments.memory:
        memory(arguments.memory[0], *(int(value) for value in arguments.memory[1:]))
        return
    size, rounds = (QUICK, 1) if arguments.quick else (MARKET, arguments.rounds)
    peer = Peer(arguments.peer) if arguments.peer else None
    print(f"{size[0]:,} queries x {size[1]:,} gallery items, one thread, medians of {rounds} round(s);")
    print(
        f"NumPy {np.__version__}, torch {torch.__version__}, {platform.machine()}, Python {platform.python_version()}\n"
    )
    print("| work | by | seconds | of featmask |\n| --- | --- | ---: | ---: |")
    for length in (2048, 512):
        scoring(length, size, rounds, peer)
    reranking(512, size, max(1, rounds // 2) if peer else rounds, peer)
    print("\n| work | size | seconds | features MB | peak beyond them MB |\n| --- | --- | ---: | ---: | ---: |")
    for length in (2048, 512):
        scaling("scoring", length, size)
    scaling("scoring", 2048, size, junk=JUNK if not arguments.quick else JUNK // 8)
    scaling("re-ranking", 512, size)


if __name__ == "__main__":
    main()
