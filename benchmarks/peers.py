"""Other people's streams, with our models on the same weights."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from unrecur.core.model import AbstractSequenceModel
from unrecur.models.spec import build


@dataclass(frozen=True)
class Peer:
    """A model of ours and a package's stream of the same function.

    Attributes:
        title: The package, and how it streams.
        model: Ours.
        x: A stream of inputs, batch 1.
        run: The package's outputs at every step of it, streamed.
        more: Further forms of our stream.
    """

    title: str
    model: AbstractSequenceModel
    x: Tensor
    run: Callable[[Tensor], Tensor]
    more: dict[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)


def pytorch_tcn(
    features: int = 32, hidden: int = 64, levels: int = 6, kernel_size: int = 3
) -> Peer:
    """A TCN; 64 channels, 6 levels and 3 taps have a field of 253."""
    from pytorch_tcn import TCN

    dilations = [2**level for level in range(levels)]
    theirs = TCN(features, [hidden] * levels, kernel_size, dilations, output_projection=10).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.1)  # no bias is zero, no sum too simple
    sizes = {"hidden": hidden, "levels": levels, "kernel_size": kernel_size}
    ours = build("tcn", in_features=features, out_features=10, **sizes).eval()
    weights = [value for name, value in theirs.state_dict().items() if "buffer" not in name]
    names = ours.state_dict()
    ours.load_state_dict(
        {name: value.view_as(names[name]) for name, value in zip(names, weights, strict=True)}
    )

    @torch.inference_mode()
    def run(x: Tensor) -> Tensor:
        theirs.reset_buffers()
        return torch.cat([theirs.inference(x_t[..., None]) for x_t in x.unbind(1)], 2).mT

    x = torch.randn(1, 128, features)
    return Peer("pytorch-tcn, inference() step by step", ours, x, run)


def gpt2() -> Peer:
    """A GPT-2 of 4 layers, 128 wide, 256 positions."""
    from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

    sizes = {"n_embd": 128, "n_layer": 4, "n_head": 4, "n_positions": 256, "vocab_size": 200}
    theirs = GPT2LMHeadModel(GPT2Config(**sizes)).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.1)
    ours = build(
        "transformer",
        in_features=200,
        out_features=200,
        hidden=128,
        layers=4,
        heads=4,
        context=256,
        activation="gelu_tanh",
        tied=True,
        tokens=True,
    ).eval()
    body, weights = theirs.transformer, {}
    for name, module in (
        ("front.table.", body.wte),
        ("stack.positions.table.", body.wpe),
        ("stack.norm.", body.ln_f),
    ):
        weights |= {name + key: value for key, value in module.named_parameters()}
    for number, part in enumerate(body.h):
        maps = (part.attn.c_attn, part.attn.c_proj, part.mlp.c_fc, part.mlp.c_proj)
        names = ("attention.in_proj_", "attention.out_proj.", "feed_forward.module.0.")
        for name, layer in zip((*names, "feed_forward.module.2."), maps, strict=True):
            weights[f"stack.blocks.{number}.{name}weight"] = layer.weight.T
            weights[f"stack.blocks.{number}.{name}bias"] = layer.bias
        for place, norm in enumerate((part.ln_1, part.ln_2)):
            for key, value in norm.named_parameters():
                weights[f"stack.blocks.{number}.norms.{place}.{key}"] = value
    ours.load_state_dict(weights)

    @torch.inference_mode()
    def run(x: Tensor) -> Tensor:
        outputs, cache = [], DynamicCache()
        for x_t in x.split(1, 1):
            result = theirs(input_ids=x_t, past_key_values=cache, use_cache=True)
            outputs.append(result.logits)
        return torch.cat(outputs, 1)

    x = torch.randint(0, 200, (1, 128))
    return Peer("transformers' GPT-2 with its key-value cache", ours, x, run)


def min_gru() -> Peer:
    """One minGRU of 256 units in its positive form."""
    from minGRU_pytorch import minGRU

    from unrecur.cells import MinGRU
    from unrecur.layers.recurrent import Recurrent

    theirs = minGRU(256).eval()
    cell = MinGRU(256, 256, activation="positive", bias=False)
    (weight,) = theirs.parameters()
    candidate, gate = weight.detach().chunk(2)
    cell.projection.weight.data.copy_(torch.cat([gate, candidate]))

    @torch.inference_mode()
    def run(x: Tensor) -> Tensor:
        outputs, hidden = [], None
        for x_t in x.split(1, 1):
            y_t, hidden = theirs(x_t, hidden, return_next_prev_hidden=True)
            outputs.append(y_t)
        return torch.cat(outputs, 1)

    x = torch.randn(1, 128, 256)
    return Peer("minGRU-pytorch with its previous state", Recurrent([cell]).eval(), x, run)


def wavenet() -> Peer:
    """WaveNet of 30 layers and 64 channels; the naive way runs the field of 3,070 again."""
    from unrecur.models.wavenet_queues import WaveNetQueues

    options = {"in_features": 1, "out_features": 256, "hidden": 64, "layers": 10, "stacks": 3}
    ours = build("wavenet", **options).eval()
    seen = int(ours.receptive_field.length)

    @torch.inference_mode()
    def naive(x: Tensor) -> Tensor:
        ahead = torch.nn.functional.pad(x, (0, 0, seen - 1, 0))
        outputs = []
        for end in range(1, x.shape[1] + 1):
            known = torch.tensor([end])  # zeros behind the end: the field is always run whole
            past = ahead[:, end - 1 : end - 1 + seen].roll(end, 1)
            outputs.append(ours(past, None, known)[0][:, end - 1])
        return torch.stack(outputs, 1)

    def queued(x: Tensor) -> Tensor:
        queues = WaveNetQueues(ours, ours.init_state(1))
        return torch.stack([queues.step(x_t) for x_t in x.unbind(1)], 1)

    x = torch.rand(1, 64, 1)
    title = "the field run again for every sample (no package of WaveNet is kept)"
    return Peer(title, ours, x, naive, {"queues": queued})


PEERS: dict[str, Callable[[], Peer]] = {
    "tcn": pytorch_tcn,
    "transformer": gpt2,
    "min_gru": min_gru,
    "wavenet": wavenet,
}
