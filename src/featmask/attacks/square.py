"""Square attack: random search with squares, which needs no gradients (Andriushchenko et al. 2020).

L-infinity and L2 follow the paper (algorithms 1 to 3). L1 takes the moves of L2 with its own lengths and narrower
bumps, as Croce and Hein 2021 do. As in AutoAttack the first squares cover 80 % of the image; the schedule of their
sizes is stretched over the queries there are. Two differences: squares reach the last row and column too, and a square
that would change nothing takes the opposite signs, where the paper's code draws again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from .attack import Attack, Model, Victim
from .ball import lengths, project
from .draws import Noise
from .objectives import likeliest_others, objective
from .passes import predict
from .regions import inside, window
from .registry import register

#: Share of the image under the first squares; halved each time a share of 1 / 10,000 of the queries below has passed.
_FIRST = 0.8
_HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_ORDER = {"l2": 2, "l1": 1}
#: How fast a bump falls off around its centre.
_POWER = {"l2": 2, "l1": 4}
_TINY = 1e-12
#: Queries whose random numbers are drawn at once: a generator per sample is slow to call.
_BLOCK = 64


@register(
    "square", Attack, settings=("loss", "targets", "eot"), fills={"steps": "queries"}, presets={"square": {}},
    standard=True, search=1,
)  # fmt: skip
def square(attack: Attack, victim: Victim) -> torch.Tensor:
    """See ``run``. The objective is the margin, whatever ``attack.loss`` says.

    ``attack.steps`` are queries per restart and target, the random start among them; the model needs 2 classes or more.
    """
    model, x, y, draws, eps = victim
    found = x.clone()
    with torch.no_grad():
        logits, right = predict(model, x, y, attack.eot)
        targets = min(attack.targets, logits.shape[1] - 1)
        goals = likeliest_others(logits, y, max(1, targets))
        for rank in range(max(1, targets)):
            for _ in range(attack.restarts):
                left = right.nonzero().flatten()
                if not len(left):
                    return found
                goal = goals[left, rank] if targets else None
                search = Search(attack, x[left], y[left], goal, draws.take(left), eps[left].to(x))
                found[left], broken = search.run(model)
                right[left[broken]] = False
    return found


@dataclass
class Search:
    """One random search of some samples; those that are broken leave it."""

    attack: Attack
    x: torch.Tensor
    y: torch.Tensor
    goal: torch.Tensor | None
    draws: Noise
    eps: torch.Tensor

    def run(self, model: Model) -> tuple[torch.Tensor, torch.Tensor]:
        """The images met, broken ones where there are, and which are broken (N,)."""
        found, broken = self.x.clone(), torch.zeros(len(self.x), dtype=torch.bool, device=self.x.device)
        rows = torch.arange(len(self.x), device=self.x.device)
        now, score = self.x, self.x.new_full((len(self.x),), -torch.inf)
        for query in range(self.attack.steps):
            if query % _BLOCK == 0:
                numbers = self.draws.uniform(min(_BLOCK, self.attack.steps - query), 5 + self.x.shape[1]).to(self.x)
            moved = self.move(now, numbers[:, query % _BLOCK], query) if query else self.start()
            logits, right = predict(model, moved, self.y, self.attack.eot)
            value = objective("margin", logits, self.y, self.goal)
            better = (value > score) | ~right
            now, score = torch.where(better[:, None, None, None], moved, now), torch.where(better, value, score)
            if not bool(right.all()):
                found[rows[~right]], broken[rows[~right]] = now[~right], True
                rows, now, score, numbers = rows[right], now[right], score[right], numbers[right]
                self._keep(right)
            if not len(rows):
                return found, broken
        found[rows] = now
        return found, broken

    def _keep(self, stay: torch.Tensor) -> None:
        self.x, self.y, self.eps, self.draws = self.x[stay], self.y[stay], self.eps[stay], self.draws.take(stay)
        self.goal = None if self.goal is None else self.goal[stay]

    def start(self) -> torch.Tensor:
        """Vertical stripes of +-eps; or a grid of about 5 by 5 bumps, each channel of each with a sign."""
        channels, height, width = self.x.shape[1:]
        if self.attack.norm == "linf":
            signs = _signs(self.draws.uniform(channels, 1, width).to(self.x))
            return (self.x + self.eps * signs).clamp(0, 1)
        side = max(min(height, width) // 5, 1)
        down, across = height // side, width // side
        numbers = self.draws.uniform(channels + 1, down, across).to(self.x)
        numbers = numbers.repeat_interleave(side, 2).repeat_interleave(side, 3)
        one = bump(side, _POWER[self.attack.norm]).to(self.x)
        tall, wide = one.repeat(down, across), one.T.repeat(down, across)
        bumps = torch.where(numbers[:, -1:] < 0.5, tall, wide) * _signs(numbers[:, :-1])
        change = torch.zeros_like(self.x)
        top, left = (height - down * side) // 2, (width - across * side) // 2
        change[:, :, top : top + down * side, left : left + across * side] = bumps
        return self._fitted(change)

    def move(self, now: torch.Tensor, numbers: torch.Tensor, query: int) -> torch.Tensor:
        """One candidate per sample, from 5 + C numbers in [0, 1) each."""
        least = 1 if self.attack.norm == "linf" else 3  # smaller ones hold no bump of two signs
        side = side_at(query, self.attack.steps, self.x.shape[2], self.x.shape[3], least)
        if self.attack.norm != "linf":
            return self._moved_mass(now, numbers, side)
        signs, within = _signs(numbers[:, 5:])[:, :, None, None], inside(window(numbers[:, :2], side, now), side, now)
        moved = torch.where(within, (self.x + self.eps * signs).clamp(0, 1), now)
        signs = torch.where((moved == now).flatten(1).all(1)[:, None, None, None], -signs, signs)
        return torch.where(within, (self.x + self.eps * signs).clamp(0, 1), now)

    def _moved_mass(self, now: torch.Tensor, numbers: torch.Tensor, side: int) -> torch.Tensor:
        """Algorithm 3: the change's length in a second window, and what is unused, goes to a bump in the first."""
        first, second = (window(numbers[:, at : at + 2], side, now) for at in (0, 2))
        turn, signs = numbers[:, 4, None, None, None], _signs(numbers[:, 5:])[:, :, None, None]
        order, change = _ORDER[self.attack.norm], now - self.x
        reach = torch.arange(side, device=now.device)
        place = (
            torch.arange(len(now), device=now.device)[:, None, None, None],
            torch.arange(now.shape[1], device=now.device)[:, None, None],
            (first[:, :1] + reach)[:, None, :, None],
            (first[:, 1:] + reach)[:, None, None, :],
        )
        emptied = inside(second, side, now)
        spent = _size(change * (emptied | inside(first, side, now)), order)
        unused = (self.eps**order - lengths(change, self.attack.norm) ** order).clamp_min(0) / now.shape[1]
        tall = bump(side, _POWER[self.attack.norm]).to(now)
        rise = torch.where(turn < 0.5, tall, tall.T)
        old = change[place]
        fresh = rise * signs + old / _size(old, order).clamp_min(_TINY)
        # in L1 as large as for one channel alone: the projection then lets the strongest pixels keep it
        mass = (spent**order + unused) ** (1 / order) * (now.shape[1] if order == 1 else 1)
        change = change.masked_fill(emptied, 0)
        change[place] = fresh / _size(fresh, order).clamp_min(_TINY) * mass
        return self._fitted(change)

    def _fitted(self, change: torch.Tensor) -> torch.Tensor:
        """Pixels whose change uses the whole radius, unless [0, 1] cuts it."""
        longer = (self.eps / lengths(change, self.attack.norm).clamp_min(_TINY)).clamp_min(1)
        return project(self.x + change * longer, self.x, self.eps, self.attack.norm)


def side_at(query: int, queries: int, height: int, width: int, least: int) -> int:
    """Of the square that is tried next; odd where it holds a bump."""
    passed = query * 10_000 // queries
    share = _FIRST / 2 ** sum(passed > bound for bound in _HALVED)
    side = max(round(math.sqrt(share * height * width)), least)
    return min(side + (least > 1 and side % 2 == 0), height, width)


def _signs(numbers: torch.Tensor) -> torch.Tensor:
    return torch.where(numbers < 0.5, -1.0, 1.0).to(numbers)


def _size(change: torch.Tensor, order: int) -> torch.Tensor:
    """Of each channel, (N, C, 1, 1)."""
    length: torch.Tensor = torch.linalg.vector_norm(change, ord=order, dim=(2, 3), keepdim=True)
    return length


@lru_cache(maxsize=512)
def bump(side: int, power: int) -> torch.Tensor:
    """Equation 2: (side, side) of length 1; the upper half rises, the lower half falls, towards their centres."""
    half = side // 2
    bump = torch.cat([_hill(half, side, power), -_hill(side - half, side, power)])
    return _normed(bump, power)


def _hill(height: int, width: int, power: int) -> torch.Tensor:
    rows, columns = torch.arange(height) - height // 2, torch.arange(width) - width // 2
    away = torch.maximum(rows.abs()[:, None], columns.abs()[None, :])
    steps = 1.0 / torch.arange(1, max(height // 2, width // 2) + 2).double() ** power
    hill = steps.flip(0).cumsum(0).flip(0)[away]
    return _normed(hill, power).float()  # both halves weigh the same, though an odd side makes one a row longer


def _normed(bump: torch.Tensor, power: int) -> torch.Tensor:
    length: torch.Tensor = torch.linalg.vector_norm(bump.flatten(), ord=2 if power == _POWER["l2"] else 1)
    return bump / length.clamp_min(_TINY)
