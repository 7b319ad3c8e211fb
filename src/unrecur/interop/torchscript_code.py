"""What the code of a TorchScript archive says about its recurrences, read as text, never run."""

import re
import zipfile
from dataclasses import dataclass, field

from unrecur._check import InputError
from unrecur.interop.zips import read_member

LARGEST_CODE = 2**23  # bytes, of all files
ELMAN_CALL = re.compile(r"rnn_(tanh|relu)(?:_cell)?\(")
# A frozen model hands its weights to the kernel as a list of constants: by name, or in place.
CONSTANTS = r"CONSTANTS\.c\d{1,6}(?:, CONSTANTS\.c\d{1,6}){1,999}"
NAMED_LIST = re.compile(rf"^ *(\w+) = \[({CONSTANTS})\]$", re.MULTILINE)
KERNEL_CALL = re.compile(
    r"torch\.(lstm|gru|rnn_tanh|rnn_relu)\([^\n]{1,500}?, "
    rf"(\w+|\[{CONSTANTS}\]), (True|False), (\d{{1,4}}), [\d.]{{1,20}}, \w{{1,50}}, (True|False)"
)


@dataclass(frozen=True)
class FrozenWeights:
    """The weights of a frozen model.

    Attributes:
        numbers: The number of the constant of each weight, by the name it had before.
        activations: The activations of Elman networks, by prefix.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    activations: dict[str, str] = field(default_factory=dict)


def read_code(archive: zipfile.ZipFile, folder: str) -> dict[str, str]:
    """Read the source files of an archive.

    Args:
        archive: The archive.
        folder: Their folder.

    Returns:
        The texts by their paths in the folder.

    Raises:
        InputError: They are larger than any model's.
    """
    members = [
        member
        for member in archive.infolist()
        if member.filename.startswith(folder) and member.filename.endswith(".py")
    ]
    if sum(member.file_size for member in members) > LARGEST_CODE:
        raise InputError(f"expected at most {LARGEST_CODE} bytes of code, got more.")
    return {
        member.filename.removeprefix(folder): read_member(archive, member.filename).decode(
            errors="replace"
        )
        for member in members
    }


def activation(code: dict[str, str], kind: str) -> str | None:
    """Tell the activation of an Elman network from the kernel that its code names.

    Args:
        code: The texts of the archive.
        kind: The name of the module's type.

    Returns:
        "tanh" or "relu"; None where neither its own file nor all of them name just one.
    """
    own = "__torch__/" + "/".join(kind.split(".")[:-1]) + ".py"
    for texts in ([code.get(own, "")], code.values()):
        named = {match for text in texts for match in ELMAN_CALL.findall(text)}
        if len(named) == 1:
            return named.pop()
    return None


def frozen_weights(code: dict[str, str]) -> FrozenWeights:
    """Find the kernels that are called with constants.

    Args:
        code: The texts of the archive.

    Returns:
        The constants under the names that the weights had before freezing.

    Raises:
        InputError: A kernel takes another number of weights than its layers have.
    """
    frozen = FrozenWeights()
    for text in code.values():
        named = dict(NAMED_LIST.findall(text))
        for count, match in enumerate(KERNEL_CALL.finditer(text)):
            kernel, weights, biases, depth, both = match.groups()
            listed = weights.strip("[]") if weights[0] == "[" else named.get(weights)
            if listed is None:
                continue
            # torch.jit.freeze names the list self_encoder__flat_weights
            trimmed = re.fullmatch(r"self_(\w+?)__flat_weights\d*", weights)
            prefix = trimmed[1] if trimmed else f"{kernel}_{count}"
            numbers = [int(number) for number in re.findall(r"\d+", listed)]
            names = _names(int(depth), biases == "True", both == "True")
            if len(names) != len(numbers):
                raise InputError(
                    f"expected {len(names)} weights of a frozen recurrence, got {len(numbers)}; a "
                    "projection (proj_size) is not supported."
                )
            frozen.numbers.update(
                {f"{prefix}.{name}": n for name, n in zip(names, numbers, strict=True)}
            )
            if kernel.startswith("rnn_"):
                frozen.activations[prefix] = kernel.removeprefix("rnn_")
    return frozen


def _names(depth: int, biases: bool, both: bool) -> list[str]:
    """The names of a recurrence's weights in the order in which a kernel takes them."""
    whats = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if biases else [])]
    ends = ["", "_reverse"] if both else [""]
    return [f"{what}_l{layer}{end}" for layer in range(depth) for end in ends for what in whats]
