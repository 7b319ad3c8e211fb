"""Draw the pictures of docs/convolution-arithmetic.md: `python tools/field_pictures.py`."""

from pathlib import Path

from torch import nn

import unrecur
from unrecur.layers.convolution import Convolution
from unrecur.layers.transposed import TransposedConvolution

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"

PICTURES = {
    "tcn": (
        unrecur.build("tcn", in_features=1, out_features=1, hidden=2, levels=3),
        20,
        16,
    ),
    "same": (Convolution(1, 1, kernel_size=4, padding="same"), 12, 6),
    "valid": (Convolution(1, 1, kernel_size=4, padding="valid"), 12, 4),
    "full": (Convolution(1, 1, kernel_size=4, padding="full"), 12, 0),
    "strided": (
        nn.Sequential(nn.Conv1d(1, 4, 4, stride=2, padding=1), nn.ReLU(), nn.MaxPool1d(2)),
        20,
        2,
    ),
    "upsampling": (TransposedConvolution(1, 1, kernel_size=4, stride=2), 8, 7),
}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, (model, inputs, output) in PICTURES.items():
        picture = unrecur.field_picture(unrecur.field(model), inputs, output)
        (FOLDER / f"field-{name}.svg").write_text(picture + "\n", encoding="utf-8")
