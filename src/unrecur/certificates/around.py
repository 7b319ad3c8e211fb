"""Numbers near known ones: what is left of an unknown state along inputs that are known.

`Around` carries a radius for each number. `Zonotope` also carries how each number moves with the
unknown state, as a linear map; its radius need only hold what is not linear, so that signs cancel
over many steps. Centers are computed in the model's own type, by the operations of its step form.
"""

from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from unrecur.certificates.numbers import AbstractNumbers, Activation


@dataclass
class Sequences:
    """Known inputs of many windows; a linear map of them is computed once for all.

    Attributes:
        inputs: [B, T, D].
        images: What linear maps have made of them.
    """

    inputs: Tensor
    images: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def linear(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Apply a linear map to all steps.

        Args:
            weight: W.
            bias: b.

        Returns:
            W x + b, [B, T, N].
        """
        if id(weight) not in self.images:
            self.images[id(weight)] = (weight, _linear(self.inputs, weight, bias))
        return self.images[id(weight)][1]


@final
class Around(AbstractNumbers):
    """Numbers within a radius of known ones.

    Attributes:
        center: The known numbers, [..., N].
        radius: The largest distance from them; None where both runs have the same.
        source: The sequences they are a part of, for inputs, and which steps.
    """

    def __init__(
        self,
        center: Tensor,
        radius: Tensor | None = None,
        source: tuple[Sequences, slice] | None = None,
    ) -> None:
        self.center, self.radius, self.source = center, radius, source

    @property
    def apart(self) -> Tensor:
        """The radius, zeros where there is none."""
        return torch.zeros_like(self.center) if self.radius is None else self.radius

    def linear(self, weight: Tensor, bias: Tensor | None) -> "Around":
        """See `AbstractNumbers.linear`."""
        if self.source is not None:
            sequences, steps = self.source
            return Around(sequences.linear(weight, bias)[:, steps])
        center = _linear(self.center, weight, bias)
        if self.radius is None:
            return Around(center)
        return Around(center, _linear(self.radius, weight.abs(), None))

    def activate(self, activation: Activation) -> "Around":
        """See `AbstractNumbers.activate`: the lesser of steepest slope times radius and range."""
        center = activation.function(self.center)
        if self.radius is None:
            return Around(center)
        low, high = self.center - self.radius, self.center + self.radius
        least, largest = activation.function(low), activation.function(high)
        steepest = torch.maximum(activation.slope_of(least), activation.slope_of(largest))
        steepest = torch.where(
            (low <= 0) & (high >= 0), steepest.clamp(min=activation.peak), steepest
        )
        # Differences of rounded values: a few units of roundoff are added.
        unit = 4 * torch.finfo(center.dtype).eps * center.abs().clamp(min=1)
        spread = torch.maximum(largest - center, center - least) + unit
        return Around(center, torch.minimum(steepest * self.radius, spread))

    def __add__(self, other: "Around") -> "Around":
        center = self.center + other.center
        if self.radius is None or other.radius is None:
            return Around(center, self.radius if other.radius is None else other.radius)
        return Around(center, self.radius + other.radius)

    def __mul__(self, other: "Around") -> "Around":
        ours, theirs = self.apart, other.apart
        radius = self.center.abs() * theirs + ours * (other.center.abs() + theirs)
        return Around(self.center * other.center, radius)

    def mix(self, first: "Around", second: "Around") -> "Around":
        """See `AbstractNumbers.mix`: z da + (1 - z) db + dz (a - b) + dz (da - db)."""
        z, a, b = self.center, first.apart, second.apart
        apart = (first.center - second.center).abs() + a + b
        radius = z * a + (1 - z) * b + self.apart * apart
        return Around(z * first.center + (1 - z) * second.center, radius)

    def chunk(self, parts: int) -> "list[Around]":
        """See `AbstractNumbers.chunk`."""
        centers = self.center.chunk(parts, -1)
        if self.radius is None:
            return [Around(center) for center in centers]
        return [
            Around(center, radius)
            for center, radius in zip(centers, self.radius.chunk(parts, -1), strict=True)
        ]

    def beside(self, other: "Around") -> "Around":
        """See `AbstractNumbers.beside`."""
        center = torch.cat([self.center, other.center], -1)
        return Around(center, torch.cat([self.apart, other.apart], -1))

    def negated(self) -> "Around":
        """See `AbstractNumbers.negated`."""
        return Around(-self.center, self.radius)


@final
class Zonotope(AbstractNumbers):
    """Numbers center + G z + rest, |z| <= 1, |rest| <= radius, and also within `box`.

    Attributes:
        box: The same numbers as intervals: whichever is narrower is used.
        generators: G, [..., N, K]; None where it is zero.
        radius: What is not linear in z; None where there is none.
    """

    def __init__(
        self, box: Around, generators: Tensor | None = None, radius: Tensor | None = None
    ) -> None:
        self.box, self.generators, self.radius = box, generators, radius

    @property
    def apart(self) -> Tensor:
        """The largest distance from the center."""
        if self.generators is None:
            return self.box.apart
        return torch.minimum(self.generators.abs().sum(-1) + self.rest, self.box.apart)

    @property
    def rest(self) -> Tensor:
        """The radius, zeros where there is none."""
        return torch.zeros_like(self.box.center) if self.radius is None else self.radius

    def _made(
        self, box: Around, terms: "list[tuple[Tensor, Zonotope]]", rest: Tensor
    ) -> "Zonotope":
        """Add up terms s x, s known, and what is not linear."""
        generators: Tensor | None = None
        for factor, x in terms:
            if x.generators is not None:
                term = factor[..., None] * x.generators
                generators = term if generators is None else generators + term
            rest = rest + factor.abs() * x.rest
        return Zonotope(box, generators, rest)

    def linear(self, weight: Tensor, bias: Tensor | None) -> "Zonotope":
        """See `AbstractNumbers.linear`."""
        box = self.box.linear(weight, bias)
        if self.generators is None:
            return Zonotope(box)
        turned = weight.to(self.generators.dtype) @ self.generators
        return Zonotope(box, turned, _linear(self.rest, weight.abs(), None))

    def activate(self, activation: Activation) -> "Zonotope":
        """See `AbstractNumbers.activate`: the middle slope, and half the range of slopes beside."""
        box = self.box.activate(activation)
        if self.generators is None:
            return Zonotope(box)
        apart = self.apart
        flattest, steepest = activation.slopes(self.box.center - apart, self.box.center + apart)
        middle = (flattest + steepest) / 2
        return self._made(box, [(middle, self)], (steepest - flattest) / 2 * apart)

    def __add__(self, other: "Zonotope") -> "Zonotope":
        box = self.box + other.box
        one = torch.ones_like(box.center)
        return self._made(box, [(one, self), (one, other)], torch.zeros_like(box.center))

    def __mul__(self, other: "Zonotope") -> "Zonotope":
        terms = [(other.box.center, self), (self.box.center, other)]
        return self._made(self.box * other.box, terms, self.apart * other.apart)

    def mix(self, first: "Zonotope", second: "Zonotope") -> "Zonotope":
        """See `AbstractNumbers.mix`."""
        z = self.box.center
        terms = [(z, first), (1 - z, second), (first.box.center - second.box.center, self)]
        rest = self.apart * (first.apart + second.apart)
        return self._made(self.box.mix(first.box, second.box), terms, rest)

    def chunk(self, parts: int) -> "list[Zonotope]":
        """See `AbstractNumbers.chunk`."""
        boxes = self.box.chunk(parts)
        if self.generators is None:
            return [Zonotope(box) for box in boxes]
        pieces = zip(
            boxes, self.generators.chunk(parts, -2), self.rest.chunk(parts, -1), strict=True
        )
        return [Zonotope(*piece) for piece in pieces]

    def beside(self, other: "Zonotope") -> "Zonotope":
        """See `AbstractNumbers.beside`."""
        box = self.box.beside(other.box)
        found = [x.generators for x in (self, other) if x.generators is not None]
        if not found:
            return Zonotope(box)
        ends = [
            x.box.center.new_zeros(*x.box.center.shape, found[0].shape[-1])
            if x.generators is None
            else x.generators
            for x in (self, other)
        ]
        return Zonotope(box, torch.cat(ends, -2), torch.cat([self.rest, other.rest], -1))

    def negated(self) -> "Zonotope":
        """See `AbstractNumbers.negated`."""
        generators = None if self.generators is None else -self.generators
        return Zonotope(self.box.negated(), generators, self.radius)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply a linear map in the type of the numbers."""
    return functional.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))
