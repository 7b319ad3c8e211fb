"""The zoo: every model at the same number of parameters, in training, over blocks and streamed.

    python benchmarks/zoo.py              # prints JSON rows; --quick: fewer forms and shorter runs
    python benchmarks/zoo.py --write      # and keeps them in benchmarks/results

1. Each model of the table (floors aside) with 1,000,000 parameters within 2 %: training steps a
   second (8 sequences of 256 steps, forward and backward), microseconds a step of a block of 1,000
   (one sequence), microseconds a step when streamed, as the best of three forms (eager, traced by
   torch.jit, exported to ONNX and run by onnxruntime), and the bytes of state that a stream keeps.
   Beside them the same of a `torch.nn.LSTM` of the same size in the same run, and the naive stream,
   which runs the model again on all it can see (up to 256 inputs) for every output.
2. Streams against other people's packages on the same weights: pytorch-tcn, transformers' GPT-2,
   minGRU-pytorch; and WaveNet's queues against the naive way, as no package of it is kept.

Weights are fresh: no figure here depends on what they are. Every speed stands beside the largest
difference of its answer from the block form, or from the peer's; a wrong answer ends the benchmark.
"""

import itertools
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import peers
import rows
import torch
from floor import interleaved
from torch import Tensor, nn

import streams
from unrecur.cells import CELLS
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import leaves
from unrecur.models import MODELS
from unrecur.studies.budget import matched

PARAMETERS = 1_000_000
FEATURES = 88
CONTEXT, BATCH, BLOCK, SOURCE = 256, 8, 1000, 64
TOLERANCE = 1e-4  # of streams, in float32

FRAMES = {"in_features": FEATURES, "out_features": FEATURES}
WORDS = {"in_features": 200, "out_features": 200}
ATTENTION = {"layers": 4, "heads": 4}
# What is not width; fields of about 256 inputs where they are finite.
OPTIONS: dict[str, dict[str, Any]] = {
    **{name: FRAMES | {"layers": 2} for name in CELLS},
    "diagonal_ssm": FRAMES | {"layers": 2, "modes": 4},
    "projected_lstm": FRAMES | {"layers": 2, "projection": 128},
    "bidirectional_lstm": FRAMES | {"layers": 2},
    "bidirectional_gru": FRAMES | {"layers": 2},
    "tcn": FRAMES | {"levels": 6, "kernel_size": 3},
    "wavenet": FRAMES | {"layers": 8},
    "gated_convolution": FRAMES | {"layers": 8, "kernel_size": 33},
    "transformer": FRAMES | ATTENTION | {"context": 64, "positions": "rotary"},
    "transformer_encoder": FRAMES | ATTENTION,
    "hierarchical_attention": FRAMES | {"layers": 4, "heads": 4, "group": 100},
    "seq2seq": WORDS | {"layers": 2},
    "convs2s": WORDS | {"layers": 4},
    "transformer_pair": WORDS | {"layers": 2, "heads": 4, "context": 1024},
    "dgcnn": {"in_features": 200},
}


def inputs(model: AbstractSequenceModel, batch: int, time: int) -> Tensor:
    """Draw frames, or token ids, as the model reads them."""
    if model.takes_tokens:
        return torch.randint(0, model.in_features, (batch, time))
    return torch.rand(batch, time, model.in_features)


def beginning(model: AbstractSequenceModel, batch: int) -> Any:
    """Make the state to start from: after reading a source where the model is given one."""
    if isinstance(model, AbstractConditionalModel):
        return model.encode(torch.randint(0, 200, (batch, SOURCE)))
    return model.init_state(batch)


class Reference(nn.Module):
    """torch's LSTM with two layers and a readout, near the same number of parameters."""

    def __init__(self) -> None:
        super().__init__()
        spec = matched("lstm", OPTIONS["lstm"], PARAMETERS)
        hidden = spec.options["hidden"]
        self.lstm = nn.LSTM(FEATURES, hidden, num_layers=2, batch_first=True)
        self.out = nn.Linear(hidden, FEATURES)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Give the scores and the state."""
        y, state = self.lstm(x, state)
        return self.out(y), state


def trained(model: nn.Module, x: Tensor, begin: Callable[[], Any]) -> None:
    """Run one training step, less the optimizer's."""
    model.zero_grad()
    y, _ = model(x, begin())
    y.square().mean().backward()


@torch.inference_mode()
def block(model: nn.Module, x: Tensor, state: Any) -> Tensor:
    """Run a block."""
    return model(x, state)[0]


def zoo_rows(timing: dict[str, Any], forms: tuple[str, ...], time: int) -> Iterator[dict[str, Any]]:
    """Measure every model."""
    reference = Reference()
    for name, options in OPTIONS.items():
        torch.manual_seed(0)
        spec = matched(name, options, PARAMETERS)
        model = spec.build().train()
        many = inputs(model, BATCH, CONTEXT)
        training, other = interleaved(
            partial(trained, model, many, partial(beginning, model, BATCH)),
            partial(trained, reference, torch.rand(BATCH, CONTEXT, FEATURES), lambda: None),
            **timing,
        )
        model.eval()
        state, x = beginning(model, 1), inputs(model, 1, time)
        blocks, other_blocks = interleaved(
            partial(block, model, x, state),
            partial(block, reference, torch.rand(1, time, FEATURES), None),
            **timing,
        )
        yield {
            "benchmark": "zoo",
            "model": name,
            "family": MODELS[name].family,
            "parameters": spec.parameters,
            "options": spec.options,
            "field": [
                str(end) for end in (model.receptive_field.past, model.receptive_field.future)
            ],
            "training_steps_per_second": 1 / training,
            "training_against_torch_lstm": other / training,
            "block_us_per_step": 1e6 * blocks / time,
            "block_against_torch_lstm": other_blocks / blocks,
            **(streamed(model, state, timing, forms) if model.receptive_field.causal else {}),
        }


def streamed(
    model: AbstractSequenceModel, state: Any, timing: dict[str, Any], forms: tuple[str, ...]
) -> dict[str, Any]:
    """Measure a model's stream in several forms and the naive way, on the same inputs."""
    x = inputs(model, 1, CONTEXT)
    whole = block(model, x, state)
    runs, failed = streams.possible(model, x, state, forms)
    errors = {form: float((run(x) - whole).abs().max()) for form, run in runs.items()}
    # A decoder counts its positions, so that a field of it run alone is another function.
    counts = isinstance(model, AbstractConditionalModel)
    seen = CONTEXT if counts else int(min(model.receptive_field.length, CONTEXT))

    def naive(x: Tensor) -> Tensor:
        return block(model, x[:, -seen:], state)[:, -1]

    errors["naive"] = float((naive(x) - whole[:, -1]).abs().max())
    check(errors)
    *times, again = interleaved(
        *(partial(run, x) for run in runs.values()), partial(naive, x), **timing
    )
    step = {form: 1e6 * each / CONTEXT for form, each in zip(runs, times, strict=True)}
    best = min(step, key=lambda form: step[form])
    return {
        "step_us": step,
        "step_errors": errors,
        "best": best,
        "naive_us": 1e6 * again,
        "against_naive": 1e6 * again / step[best],
        "state_bytes": sum(leaf.numel() * leaf.element_size() for leaf in leaves(state)),
        **({"not_possible": failed} if failed else {}),
    }


def check(errors: dict[str, float]) -> None:
    """End the benchmark where an answer is wrong."""
    for form, error in errors.items():
        if not error <= TOLERANCE:
            sys.exit(f"wrong answer: {form} errs by {error}, no speed given")


def peer_rows(timing: dict[str, Any], forms: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Compare streams with those of other packages, on the same weights and inputs."""
    for name, make in peers.PEERS.items():
        torch.manual_seed(0)
        peer = make()
        x, state = peer.x, peer.model.init_state(1)
        right = peer.run(x)
        if not right.std() > 1e-3:
            sys.exit(f"{name} gives nothing to compare with")
        runs, failed = streams.possible(peer.model, x, state, forms)
        runs |= peer.more
        errors = {form: float((run(x) - right).abs().max()) for form, run in runs.items()}
        check(errors)
        *times, other = interleaved(
            *(partial(run, x) for run in runs.values()), partial(peer.run, x), **timing
        )
        steps = x.shape[1]
        step = {form: 1e6 * each / steps for form, each in zip(runs, times, strict=True)}
        best = min(step, key=lambda form: step[form])
        yield {
            "benchmark": "zoo peers",
            "model": name,
            "against": peer.title,
            "parameters": sum(parameter.numel() for parameter in peer.model.parameters()),
            "step_us": step,
            "step_errors": errors,
            "best": best,
            "peer_us": 1e6 * other / steps,
            "ratio": 1e6 * other / steps / step[best],
            **({"aim": {"ratio": 10.0}} if name in ("tcn", "wavenet") else {}),
            **({"not_possible": failed} if failed else {}),
        }


if __name__ == "__main__":
    parser = rows.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="eager streams only, shorter runs")
    arguments = parser.parse_args()
    forms, timing, time = tuple(streams.FORMS), {"seconds": 1.0, "least": 5}, BLOCK
    if arguments.quick:
        forms, timing, time = ("eager",), {"seconds": 0.1, "least": 1}, 200
    every = itertools.chain(zoo_rows(timing, forms, time), peer_rows(timing, forms))
    rows.run("zoo", every, arguments.write)
