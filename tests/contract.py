"""The laws that every cell, layer and model of the package obeys (DESIGN, "The laws")."""

import math

import safetensors.torch
import torch

from oracles import measured_field
from unrecur.core.compose import in_series
from unrecur.core.equivalence import fold_steps
from unrecur.core.model import AbstractBlockModel, AbstractSequenceModel
from unrecur.core.state import leaves, map_state


def verify_contract(make, x, tolerance=1e-9, source=None):
    """Check laws 1 to 6 of a model.

    make() builds the model; x is a block of inputs [batch >= 2, time >= 3, ...]; source is what a
    conditional model starts from, as many rows. Runs in float64, where the laws hold to rounding.
    A model that looks ahead has no step form: it is held to the laws that do not speak of it.
    """
    torch.manual_seed(7)
    model = make().double().eval()
    x = double(x)
    if source is not None:
        model = Given(model, double(source))
    if has_step(model):
        two_forms_agree(model, x, tolerance)
        blocks_compose(model, x, tolerance)
        state_is_passed(model, x)
    field_is_true(model, x)
    rows_are_independent(model, x, tolerance)
    padding_is_inert(model, x, tolerance)
    saved_is_loaded(make, model, x)


def has_step(model):
    """Whether a model has a step form: it sees nothing to come, and no part of it is for blocks."""
    parts = in_series(model)
    return model.receptive_field.causal and not any(
        isinstance(p, AbstractBlockModel) for p in parts
    )


def double(x):
    return x.double() if x.is_floating_point() else x


class Given(AbstractSequenceModel):
    """A conditional model and its source as one model: it starts from the source by itself."""

    def __init__(self, model, source):
        super().__init__()
        self.model, self.source = model, source

    @property
    def receptive_field(self):
        return self.model.receptive_field

    def rows(self, rows):
        """The same model, given some rows of the source only."""
        return Given(self.model, self.source[rows])

    def init_state(self, batch):
        return self.model.encode(self.source[:batch])

    def forward(self, x, state=None, lengths=None):
        state = self.init_state(len(x)) if state is None else state
        return self.model(x, state, lengths)

    def step(self, x_t, state=None):
        return self.model.step(x_t, self.init_state(len(x_t)) if state is None else state)


def of_rows(model, rows):
    return model.rows(rows) if isinstance(model, Given) else model


def close(a, b, tolerance):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def states_close(a, b, tolerance):
    for left, right in zip(leaves(a), leaves(b), strict=True):
        close(left, right, tolerance)


def gradients(model, x, run):
    """Gradients of a fixed random functional of outputs and final state."""
    inputs = x.clone().requires_grad_() if x.is_floating_point() else x
    y, state = run(inputs)
    generator = torch.Generator().manual_seed(1)

    def weighted(v):
        return (v * torch.randn(v.shape, generator=generator, dtype=v.dtype)).sum()

    floats = [leaf for leaf in leaves(state) if leaf.is_floating_point()]
    loss = weighted(y) + sum(weighted(leaf) for leaf in floats)
    wanted = [p for p in model.parameters() if p.requires_grad]
    wanted += [inputs] if x.is_floating_point() else []
    if not (loss.requires_grad and wanted):
        return []
    return torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)


def two_forms_agree(model, x, tolerance):
    y, state = model(x)
    folded, folded_state = fold_steps(model, x)
    close(y, folded, tolerance)
    states_close(state, folded_state, tolerance)
    by_block = gradients(model, x, model)
    by_steps = gradients(model, x, lambda inputs: fold_steps(model, inputs))
    for a, b in zip(by_block, by_steps, strict=True):
        close(a, b, 100 * tolerance)


def blocks_compose(model, x, tolerance):
    whole, final = model(x)
    for cut in {1, x.shape[1] // 2, x.shape[1] - 1}:
        first, state = model(x[:, :cut])
        second, state = model(x[:, cut:], state)
        close(torch.cat([first, second], 1), whole, tolerance)
        states_close(state, final, tolerance)


def state_is_passed(model, x):
    _, state = model(x[:, :2])
    before = map_state(torch.clone, state)
    for run, inputs in ((model, x[:, 2:]), (model.step, x[:, 2])):
        once, after = run(inputs, state)
        twice, again = run(inputs, state)
        close(once, twice, 0)
        states_close(after, again, 0)
        states_close(state, before, 0)
        for a, b in zip(leaves(state), leaves(after), strict=True):
            assert (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)
    start = model.init_state(len(x))
    assert [a.shape for a in leaves(start)] == [a.shape for a in leaves(state)]
    assert all(len(leaf) == len(x) for leaf in leaves(start)), "batch is the first dimension"
    ids = [id(leaf) for leaf in leaves(start)]
    assert len(set(ids)) == len(ids), "no tensor stands twice: exporters would take it for one"


def field_is_true(model, x):
    field, ratio = model.receptive_field, model.output_ratio
    if not x.is_floating_point():
        return
    # Longer than the field, so that its ends are seen; an infinite end is seen as far as there are
    # steps. With a rate, the outputs of one period are looked at.
    before, after = (6 if math.isinf(end) else int(end) + 1 for end in (field.past, field.future))
    before, after = (-(-end // ratio.denominator) * ratio.denominator for end in (before, after))
    generator = torch.Generator().manual_seed(2)
    shape = (1, before + 1 + after, x.shape[-1])
    inputs = torch.rand(shape, generator=generator, dtype=x.dtype)
    ends = [
        measured_field(of_rows(model, slice(0, 1)), inputs, int(before * ratio) + output, before)
        for output in range(ratio.numerator)
    ]
    assert max(past for past, _ in ends) == min(field.past, before)
    assert max(future for _, future in ends) == min(field.future, after)


def rows_are_independent(model, x, tolerance):
    whole, _ = model(x)
    for row in range(len(x)):
        alone, _ = of_rows(model, slice(row, row + 1))(x[row : row + 1])
        close(alone[0], whole[row], tolerance)


def padding_is_inert(model, x, tolerance):
    time = x.shape[1]
    lengths = torch.tensor([1 + row % time for row in range(len(x) - 1)] + [time])
    poison = float("nan") if x.is_floating_point() else -1
    padded = x.clone()
    for row, length in enumerate(lengths):
        padded[row, length:] = poison
    y, state = model(padded, None, lengths)
    for row, length in enumerate(lengths):
        alone, alone_state = of_rows(model, slice(row, row + 1))(x[row : row + 1, :length])
        close(y[row, : alone.shape[1]], alone[0], tolerance)
        for mixed, single in zip(leaves(state), leaves(alone_state), strict=True):
            close(mixed[row], single[0], tolerance)

    def valid_only(inputs):
        outputs, last = model(inputs, None, lengths)
        counts = model.output_lengths(lengths)
        valid = torch.arange(outputs.shape[1]) < counts[:, None]
        return outputs[valid], last

    assert all(g.isfinite().all() for g in gradients(model, padded, valid_only))


def saved_is_loaded(make, model, x):
    content = safetensors.torch.save(
        {name: value.contiguous() for name, value in model.state_dict().items()}
    )
    again = make().double().eval()
    if isinstance(model, Given):
        again = Given(again, model.source)
    again.load_state_dict(safetensors.torch.load(content))
    close(again(x)[0], model(x)[0], 0)
