"""The hidden Markov model: the ancestor of the recurrent network, its filter a recurrence."""

import importlib
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from unrecur import _check
from unrecur.cells.hidden_markov import HiddenMarkov, random_rows, refuse_other_rows
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding
from unrecur.layers.recurrent import Recurrent

Emission = Literal["categorical", "gaussian"]


class Categorical(nn.Module):
    """Observations that are tokens: P(v | state i) = E_iv.

    Args:
        states: The number of states.
        vocabulary: The number of tokens.
    """

    def __init__(self, states: int, vocabulary: int) -> None:
        super().__init__()
        self.features = vocabulary
        self.probabilities = nn.Parameter(random_rows(states, vocabulary), requires_grad=False)
        self.register_load_state_dict_pre_hook(refuse_other_rows)  # type: ignore[no-untyped-call]

    def log_likelihood(self, x: Integer[Tensor, "*B"]) -> Float[Tensor, "*B S"]:
        """Give the log-likelihood of each observation under each state.

        Args:
            x: Token ids.

        Returns:
            log E_ix; what is impossible is the least positive number instead of zero.
        """
        return _log(self.probabilities).T[x.long()]

    def predict(self, belief: Float[Tensor, "*B S"]) -> Float[Tensor, "*B E"]:
        """Give the log-probabilities of the next token.

        Args:
            belief: Of the state that emits it.

        Returns:
            log sum_i h_i E_iv.
        """
        return _log(belief @ self.probabilities)

    def estimator(self, hmm: Any, states: int, iterations: int, seed: int) -> Any:
        """Make hmmlearn's model of this kind.

        Args:
            hmm: The module `hmmlearn.hmm`.
            states: The number of states.
            iterations: The most iterations of expectation maximisation.
            seed: Of its start.

        Returns:
            The model, not fitted.
        """
        return hmm.CategoricalHMM(
            states, n_features=self.features, n_iter=iterations, random_state=seed
        )

    def take(self, fitted: Any) -> None:
        """Take the emissions of a fitted model of hmmlearn.

        Args:
            fitted: The model.
        """
        self.probabilities.copy_(_rows(fitted.emissionprob_, "emissions"))


class Gaussian(nn.Module):
    """Observations that are vectors, independent normal numbers given the state.

    Args:
        states: The number of states.
        features: The number of features.
    """

    def __init__(self, states: int, features: int) -> None:
        super().__init__()
        self.features = features
        self.means = nn.Parameter(torch.randn(states, features), requires_grad=False)
        self.variances = nn.Parameter(torch.ones(states, features), requires_grad=False)
        self.register_load_state_dict_pre_hook(_refuse_variances)  # type: ignore[no-untyped-call]

    def log_likelihood(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B S"]:
        """Give the log-density of each observation under each state.

        Args:
            x: Observations.

        Returns:
            The log-densities.
        """
        deviations = torch.distributions.Normal(
            self.means,
            self.variances.sqrt(),
            validate_args=False,  # a check is no part of a graph
        )
        return deviations.log_prob(x[..., None, :]).sum(-1)

    def predict(self, belief: Float[Tensor, "*B S"]) -> Float[Tensor, "*B E"]:
        """Give the mean of the next observation.

        Args:
            belief: Of the state that emits it.

        Returns:
            sum_i h_i mean_i.
        """
        return belief @ self.means

    def estimator(self, hmm: Any, states: int, iterations: int, seed: int) -> Any:
        """Make hmmlearn's model of this kind; see `Categorical.estimator`."""
        return hmm.GaussianHMM(states, "diag", n_iter=iterations, random_state=seed)

    def take(self, fitted: Any) -> None:
        """Take the emissions of a fitted model; see `Categorical.take`."""
        variances = np.diagonal(fitted.covars_, axis1=1, axis2=2).copy()
        self.means.copy_(torch.as_tensor(fitted.means_))
        self.variances.copy_(torch.as_tensor(variances))


class HiddenMarkovModel(AbstractSequenceModel):
    """Predict the next observation from the belief about a hidden state.

    The outputs are the log-probabilities of the next token, or the mean of the next vector;
    `log_likelihood` is that of the observations themselves. The state is the belief.

    Args:
        in_features: The number of tokens, or of features.
        hidden: The number of states.
        emission: "categorical" for tokens, "gaussian" (diagonal) for vectors.

    Raises:
        InputError: A size is below 1, or the emission unknown.

    Example:
        >>> model = HiddenMarkovModel(in_features=5, hidden=3)
        >>> scores, belief = model(torch.tensor([[0, 4, 4]]))
        >>> scores.shape, torch.allclose(scores.exp().sum(-1), torch.ones(1, 3))
        (torch.Size([1, 3, 5]), True)
    """

    def __init__(
        self, *, in_features: int, hidden: int, emission: Emission = "categorical"
    ) -> None:
        super().__init__()
        _check.positive_integer(in_features, "in_features")
        _check.known_name(emission, get_args(Emission), "emission")
        self.in_features = self.out_features = in_features
        self.takes_tokens = emission == "categorical"
        self.filter = Recurrent([HiddenMarkov(hidden)])
        kind = Categorical if self.takes_tokens else Gaussian
        self.emission = kind(hidden, in_features)

    @property
    def cell(self) -> HiddenMarkov:
        """The recurrence on the belief."""
        (cell,) = self.filter.cells
        assert isinstance(cell, HiddenMarkov)
        return cell

    @property
    def receptive_field(self) -> Field:
        """The whole past."""
        return self.filter.receptive_field

    def init_state(self, batch: int) -> State:
        """Make the initial distribution."""
        return self.filter.init_state(batch)

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block of observations; see `AbstractSequenceModel.forward`."""
        x = self._checked(zero_padding(x, lengths), 2)
        belief, state = self.filter(self.emission.log_likelihood(x), state, lengths)
        return self.emission.predict(belief), state

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one observation a row; see `AbstractSequenceModel.step`."""
        x_t = self._checked(x_t, 1)
        belief, state = self.filter.step(self.emission.log_likelihood(x_t), state)
        return self.emission.predict(belief), state

    def log_likelihood(self, x: Shaped[Tensor, "B T ..."]) -> Float[Tensor, "B T"]:
        """Give the log-likelihood of each observation, given those before it.

        Args:
            x: Whole sequences of observations.

        Returns:
            log p(x_t | x_0, ..., x_(t-1)).
        """
        seen = self.emission.log_likelihood(self._checked(x, 2))
        (start,) = self.init_state(len(x))
        after, _ = self.filter(seen)
        return self.cell.evidence(torch.cat([start[:, None], after[:, :-1]], 1), seen)

    @torch.no_grad()
    def fit(
        self,
        sequences: Iterable[tuple[Tensor, Tensor]],
        iterations: int = 100,
        seed: int = 0,
    ) -> None:
        """Fit all distributions by hmmlearn's expectation maximisation.

        A state that is never left, or never visited, has no transitions (or no emissions) to
        count, and hmmlearn leaves it zeros; here it has uniform ones.

        Args:
            sequences: Pairs of inputs and targets, [time] of token ids or [time, features] each;
                the target of a step is the observation after its input.
            iterations: The most iterations.
            seed: Of its random start.

        Raises:
            InputError: hmmlearn is not installed or finds no distributions, or there is no
                sequence, or one does not fit.
        """
        parts = []
        for x, target in sequences:
            _check.same_length(x, target)
            whole = torch.cat([x, target[-1:]])
            parts.append(self._checked(whole[None], 2)[0].cpu())
        if not parts:
            raise _check.InputError("expected at least one sequence to fit, got none.")
        flat = torch.cat(parts).numpy()
        found = self.emission.estimator(_hmmlearn(), self.cell.hidden_size, iterations, seed)
        found.fit(flat[:, None] if self.takes_tokens else flat, [len(part) for part in parts])
        self.cell.initial.copy_(_rows(found.startprob_, "initial probabilities"))
        self.cell.transition.copy_(_rows(found.transmat_, "transitions"))
        self.emission.take(found)

    def _checked(self, x: Tensor, dimensions: int) -> Tensor:
        """Check a block (2 dimensions before the features) or a step (1) of observations."""
        if self.takes_tokens:
            _check.tokens(x, self.in_features, dimensions)
        elif dimensions == 1:
            _check.frame(x, self.in_features)
        else:
            _check.block(x, self.in_features)
        return x


def _log(p: Tensor) -> Tensor:
    """Give log p, and that of the least positive number for zero."""
    return p.clamp(min=torch.finfo(p.dtype).tiny).log()


def _rows(found: Any, name: str) -> Tensor:
    """Give the distributions that hmmlearn found, uniform ones where it had nothing to count."""
    rows = torch.as_tensor(found)
    rows = torch.where((rows == 0).all(-1, keepdim=True), 1 / rows.shape[-1], rows)
    _check.distributions(rows, f"the {name} that hmmlearn found")
    return rows


def _refuse_variances(_: Gaussian, state_dict: dict[str, Any], prefix: str, *__: Any) -> None:
    """Refuse variances to be loaded that are not above zero."""
    variances = state_dict.get(prefix + "variances")
    if variances is not None and not (variances > 0).all():
        raise _check.InputError(f"variances must be above 0, got {variances.min()}.")


def _hmmlearn() -> Any:
    """Import hmmlearn, which only fitting needs."""
    try:
        return importlib.import_module("hmmlearn.hmm")
    except ImportError as error:
        raise _check.InputError(
            f"fitting a hidden Markov model needs the package hmmlearn, which cannot be imported "
            f"({error}). Install it with: pip install 'unrecur[hmm]'"
        ) from error


def hidden_markov_parameters(
    *, in_features: int, hidden: int, emission: Emission = "categorical"
) -> int:
    """Count the parameters of `HiddenMarkovModel`: N + N^2, and N V or 2 N D of the emissions.

    Args:
        in_features: The number of tokens V, or of features D.
        hidden: The number of states N.
        emission: Which of the two.

    Returns:
        The number of parameters.
    """
    emissions = 1 if emission == "categorical" else 2
    return hidden * (1 + hidden + emissions * in_features)
