"""WaveNet by its options."""

from typing import Any, Literal

from unrecur import _check
from unrecur.core.arithmetic import LARGEST_FIELD
from unrecur.layers.mixture import LogisticMixture
from unrecur.layers.mu_law import MuLawCategorical
from unrecur.layers.wavenet import WaveNet

Output = Literal["categorical", "mixture"]


def wavenet(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    skip: int | None = None,
    layers: int = 10,
    stacks: int = 1,
    kernel_size: int = 2,
    conditions: int = 0,
    quantized: bool = False,
    output: Output = "categorical",
    bits: int = 16,
    dropout: float = 0.0,
    tokens: bool = False,
) -> WaveNet:
    """Build the WaveNet of van den Oord et al. (2016, arXiv 1609.03499).

    A causal front convolution; `stacks` times `layers` gated blocks, of dilation 1, 2, 4, ... in
    each stack; and relu, 1x1, relu, 1x1 of the sum of their skip paths. Receptive field:
    1 + (kernel_size - 1) (1 + stacks (2^layers - 1)) inputs.

    An input is [signal | conditions]. Local conditions (linguistic features, a spectrum) vary over
    time; global ones (the speaker) are the same columns at every step,
    `speaker[:, None].expand(-1, time, -1)`, which is the paper's equation for them: it adds V^T h
    at every step. Each enters every block through a 1x1 map. Row
    t stands beside sample t and helps to predict sample t + 1: shift the conditions by a step for
    those that belong to the sample to come.

    Args:
        in_features: The number of input features: those of the signal (1 for a waveform), and the
            conditions.
        out_features: The number of scores: of a waveform's next sample, the number of mu-law codes
            (256 in the paper) or 3 for each component of a mixture.
        hidden: The number of residual channels.
        skip: The number of skip channels; as many as residual ones where left out.
        layers: The number of blocks of a stack.
        stacks: The number of stacks.
        kernel_size: The number of taps of each convolution, at least 2.
        conditions: How many of the features, the last ones, are conditions.
        quantized: Whether the signal is one sample in [-1, 1] that the model encodes to one of
            out_features mu-law codes and looks up in a table, the paper's one-hot input.
        output: What the scores say of a waveform: "categorical" of mu-law codes, or "mixture" of
            logistics. For a task of another kind they are its scores.
        bits: The values of a sample are 2^bits where the output is a mixture.
        dropout: The probability with which an input of a block's convolution is dropped in
            training.
        tokens: Whether the inputs are token ids below in_features, looked up in a table.

    Returns:
        The model.

    Raises:
        InputError: A size or the probability is out of range, or options contradict each other.

    Example:
        >>> model = wavenet(in_features=1, out_features=256, hidden=8, layers=10, stacks=3)
        >>> model.receptive_field.length
        3071
    """
    _check.positive_integer(hidden, "hidden")
    _check.positive_integer(layers, "layers")
    _check.positive_integer(stacks, "stacks")
    if layers > LARGEST_FIELD.bit_length():
        raise _check.InputError(
            "layers must be at most "
            f"{LARGEST_FIELD.bit_length()}, as dilations double, got {layers}. Take fewer layers, "
            "in more stacks."
        )
    _check.fraction(dropout, "dropout")
    _check.known_name(output, ("categorical", "mixture"), "output")
    _check.positive_integer(kernel_size, "kernel_size")
    if kernel_size < 2:
        raise _check.InputError("kernel_size must be at least 2: one tap sees no past, got 1.")
    if not 0 <= conditions < in_features:
        raise _check.InputError(
            "conditions must be at least 0 and below in_features, the rest being the signal, got "
            f"{conditions} of {in_features}."
        )
    if tokens and (conditions or quantized):
        raise _check.InputError("tokens stand alone: leave conditions and quantized out.")
    if quantized and (in_features != 1 + conditions or output != "categorical" or out_features < 2):
        raise _check.InputError(
            "quantized takes one column of samples beside the conditions, and a categorical output "
            f"of at least 2 codes; got {in_features} features, {conditions} of them conditions, "
            f"and output '{output}' of {out_features}."
        )
    if output == "mixture" and out_features % 3:
        raise _check.InputError(
            f"a mixture takes 3 scores for each component, got out_features {out_features}."
        )
    return WaveNet(
        in_features=in_features,
        out_features=out_features,
        hidden=hidden,
        skip=hidden if skip is None else skip,
        dilations=[2**layer for layer in range(layers)] * stacks,
        kernel_size=kernel_size,
        conditions=conditions,
        quantized=quantized,
        tokens=tokens,
        dropout=dropout,
        distribution=MuLawCategorical(out_features)
        if output == "categorical"
        else LogisticMixture(bits),
    )


def wavenet_parameters(
    *,
    in_features: int,
    out_features: int,
    hidden: int,
    skip: int | None = None,
    layers: int = 10,
    stacks: int = 1,
    kernel_size: int = 2,
    conditions: int = 0,
    quantized: bool = False,
    tokens: bool = False,
    **_: Any,
) -> int:
    """Count the parameters of `wavenet`.

    The front K D H + H for D columns of signal, H where they are looked up, and the table; each of
    the N = layers stacks blocks 2 K H H + 2 H + 2 C H + (H + 1) S, all but the last (H + 1) H more;
    the head (S + 1) (S + E).

    Args:
        in_features: The number of input features.
        out_features: The number of scores E.
        hidden: The number of residual channels H.
        skip: The number of skip channels S.
        layers: The number of blocks of a stack.
        stacks: The number of stacks.
        kernel_size: The number of taps K.
        conditions: The number of conditions C.
        quantized: Whether the signal is looked up, in a table of E H.
        tokens: Whether the inputs are looked up, in a table of in_features H.

    Returns:
        The number of parameters.
    """
    skip = hidden if skip is None else skip
    blocks = layers * stacks
    table = hidden * (in_features if tokens else out_features if quantized else 0)
    signal = hidden if table else in_features - conditions
    front = kernel_size * signal * hidden + hidden
    block = 2 * hidden * (kernel_size * hidden + 1 + conditions) + (hidden + 1) * skip
    residual = (hidden + 1) * hidden
    head = (skip + 1) * (skip + out_features)
    return table + front + blocks * block + (blocks - 1) * residual + head
