"""The n-gram with interpolated Kneser-Ney smoothing: what counting reaches on tokens."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, last_steps, zero_padding

FALLBACK = 0.5  # the discount where no n-gram occurs once, so that none can be estimated


class NGram(AbstractSequenceModel):
    """Predict the next token from the last n - 1, by interpolated Kneser-Ney.

    For the contexts u of k - 1 tokens that were seen, k from n down to 1,

        p_k(w | u) = max(c(u w) - D_k, 0) / c(u) + D_k types(u) / c(u) p_(k-1)(w | u'),

    where c(u) sums c(u w) over w, types(u) says after how many w it is above 0, u' is u without its
    first token, and p_0 = 1 / vocabulary; p_k = p_(k-1) where u was not seen. For k = n, c counts
    how often; below, in how many contexts: c(u w) is the number of tokens v with v u w seen
    (Kneser and Ney 1995; Chen and Goodman 1999, section 4.1.6). Before a sequence stand n - 1 marks
    of its beginning, which are no token but are counted as contexts. KenLM does otherwise: there
    one mark stands before a sentence, and n-grams of every order that begin with it are counted as
    often as they occur, not by contexts.

    The scores are log-probabilities, and sum to one. Not fitted, it is uniform. The state is the
    last n - 1 tokens, the mark being the id `in_features`.

    Args:
        in_features: The number of tokens.
        order: n, at least 1.
        discount: D_k of every order, above 0 and at most 1; None to estimate each order's as
            n_1 / (n_1 + 2 n_2), n_j the number of its n-grams that are counted j times.

    Raises:
        InputError: A size is below 1, the discount out of range, or n-grams of this order and
            vocabulary too many to be numbered.

    Example:
        >>> model = NGram(in_features=3, order=2)
        >>> model.fit([(torch.tensor([0, 1, 0, 1]), torch.tensor([1, 0, 1, 2]))])
        >>> scores, _ = model(torch.tensor([[0]]))
        >>> [round(p, 3) for p in scores.exp().flatten().tolist()]  # 1/12, 10/12, 1/12
        [0.083, 0.833, 0.083]
    """

    takes_tokens = True

    def __init__(self, *, in_features: int, order: int = 3, discount: float | None = None) -> None:
        super().__init__()
        _check.positive_integer(in_features, "in_features")
        _check.positive_integer(order, "order")
        if discount is not None and not 0 < discount <= 1:
            raise _check.InputError(f"discount must be above 0 and at most 1, got {discount}.")
        self.base = in_features + 1  # with the mark of the beginning
        # The order by itself first: the power of an enormous one would never be found.
        if order > 62 or self.base**order > torch.iinfo(torch.long).max:
            raise _check.InputError(
                f"{in_features} tokens in n-grams of order {order} are more than 64 bits can "
                "number. Use a lower order."
            )
        self.in_features = self.out_features = in_features
        self.order, self.discount = order, discount
        start = torch.full((order,), FALLBACK if discount is None else discount)
        self.discounts = nn.Parameter(start, requires_grad=False)
        for k in range(1, order + 1):
            # The n-grams of k tokens as sorted numbers, and the running sum of their counts.
            self.register_buffer(f"grams_{k}", torch.zeros(0, dtype=torch.long))
            self.register_buffer(f"totals_{k}", torch.zeros(1, dtype=torch.long))
        self.register_load_state_dict_pre_hook(_resize)  # type: ignore[no-untyped-call]

    @property
    def receptive_field(self) -> Field:
        """The last n - 1 tokens, the present one included."""
        return Field(past=max(0, self.order - 2))

    def init_state(self, batch: int) -> State:
        """Make the marks of the beginning."""
        shape = (batch, self.order - 1)
        return torch.full(shape, self.in_features, device=self.discounts.device)

    @torch.no_grad()
    def fit(self, sequences: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Count n-grams; what was counted before is forgotten.

        Args:
            sequences: Pairs of inputs and targets, each [time] of token ids; the target of a step
                is the token after its input.

        Raises:
            InputError: There is no sequence, an id is outside the vocabulary, or a target is
                shorter or longer than its input.
        """
        found = []
        for tokens, target in sequences:
            for ids in (tokens, target):
                _check.tokens(ids, self.in_features, 1)
            _check.same_length(tokens, target)
            (_, contexts), *_ = self._contexts(tokens[None].cpu(), self.init_state(1).cpu())
            found.append(contexts[0] * self.base + target.cpu())
        if not found:
            raise _check.InputError("expected at least one sequence to count, got none.")
        grams, counts = torch.cat(found).unique(return_counts=True)
        for k in range(self.order, 0, -1):
            self._keep(k, grams, counts)
            # Each n-gram of one token more is one context of the n-gram without its first token.
            grams, counts = (grams % self.base ** (k - 1)).unique(return_counts=True)

    def _keep(self, k: int, grams: Tensor, counts: Tensor) -> None:
        """Store the counts of one order, and its discount."""
        device = self.discounts.device
        totals = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        setattr(self, f"grams_{k}", grams.to(device))
        setattr(self, f"totals_{k}", totals.to(device))
        if self.discount is None:
            once, twice = (int((counts == times).sum()) for times in (1, 2))
            self.discounts[k - 1] = once / (once + 2 * twice) if once else FALLBACK

    def forward(
        self,
        x: Integer[Tensor, "B T"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block of token ids; see `AbstractSequenceModel.forward`."""
        x = zero_padding(x, lengths)
        _check.tokens(x, self.in_features, 2)
        before = self.init_state(len(x)) if state is None else state
        contexts = self._contexts(x, before)
        words = torch.arange(self.in_features, device=x.device)
        p = self.discounts.new_full((*x.shape, self.in_features), 1 / self.in_features)
        for k, context in reversed(contexts):
            p = self._interpolated(k, context, words, p)
        return p.log(), last_steps(torch.cat([before, x], 1), self.order - 1, lengths)

    def step(
        self, x_t: Integer[Tensor, " B"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one token id a row; see `AbstractSequenceModel.step`."""
        _check.tokens(x_t, self.in_features, 1)
        y, state = self(x_t[:, None], state)
        return y[:, 0], state

    def _contexts(self, x: Tensor, before: Tensor) -> list[tuple[int, Tensor]]:
        """Number the contexts of each step for each order k, from the highest down."""
        # Numbers of n-grams need 64 bits, whatever the ids come in.
        seen, time = torch.cat([before, x.long()], 1), x.shape[1]
        context, found = torch.zeros_like(x, dtype=torch.long), []
        for k in range(1, self.order + 1):
            found.append((k, context))
            begin = self.order - k
            context = context + seen[:, begin : begin + time] * self.base ** (k - 1)
        return found[::-1]

    def _interpolated(self, k: int, context: Tensor, words: Tensor, p: Tensor) -> Tensor:
        """Mix the counts of one order with the probabilities of the order below."""
        grams, totals = self.get_buffer(f"grams_{k}"), self.get_buffer(f"totals_{k}")
        if not len(grams):
            return p
        first = context[..., None] * self.base
        begin, end = (torch.searchsorted(grams, first + place) for place in (0, self.base))
        total = totals[end] - totals[begin]
        wanted = first + words
        place = torch.searchsorted(grams, wanted).clamp(max=len(grams) - 1)
        count = torch.where(grams[place] == wanted, totals[place + 1] - totals[place], 0)
        discount = self.discounts[k - 1]
        left = (count - discount).clamp(min=0) + discount * (end - begin) * p
        return torch.where(total > 0, left / total.clamp(min=1), p)


def _resize(module: NGram, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give the tables of counts the sizes they have on disk, before loading; refuse forged ones."""
    discounts = state_dict.get(prefix + "discounts", module.discounts)
    if not ((discounts > 0) & (discounts <= 1)).all():
        raise _check.InputError(f"discounts must be above 0 and at most 1, got {discounts}.")
    for k in range(1, module.order + 1):
        names = f"grams_{k}", f"totals_{k}"
        loaded = [state_dict[prefix + name] for name in names if prefix + name in state_dict]
        if len(loaded) < 2:
            continue  # torch says what is missing
        sizes = [list(table.shape) for table in loaded]
        if sizes != [[loaded[0].numel()], [loaded[0].numel() + 1]]:
            raise _check.InputError(f"the tables of order {k} do not belong together: {sizes}.")
        grams, totals = loaded
        _check_tables(k, grams, totals, module.base)
        for name, table in zip(names, loaded, strict=True):
            setattr(module, name, torch.zeros_like(table, device=module.discounts.device))


def _check_tables(k: int, grams: Tensor, totals: Tensor, base: int) -> None:
    """Check that the tables of order k are what `NGram.fit` makes: sorted numbers, and sums."""
    if grams.dtype != torch.long or totals.dtype != torch.long:
        raise _check.InputError(
            f"the tables of order {k} must be of int64, got {grams.dtype} and {totals.dtype}."
        )
    numbers = ((grams >= 0) & (grams < base**k)).all() and (grams.diff() > 0).all()
    if not (numbers and totals[0] == 0 and (totals.diff() > 0).all()):
        raise _check.InputError(f"the tables of order {k} are no sorted n-grams and their counts.")


def ngram_parameters(*, in_features: int, order: int = 3, discount: float | None = None) -> int:
    """Count the parameters of `NGram`: a discount for each order.

    The tables of counts are no parameters: their size depends on the data.

    Args:
        in_features: The number of tokens; of no account.
        order: n.
        discount: Of no account.

    Returns:
        n.
    """
    return order
