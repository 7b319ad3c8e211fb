"""The picture of a stack draws what its geometry says."""

from xml.etree import ElementTree

import pytest
from torch import nn

import unrecur
from unrecur import InputError
from unrecur.layers.convolution import CausalConvolution

SVG = "{http://www.w3.org/2000/svg}"


def drawn(model, inputs, output=None):
    root = ElementTree.fromstring(unrecur.field_picture(unrecur.field(model), inputs, output))
    circles = [(c.get("fill"), c.get("stroke")) for c in root.iter(f"{SVG}circle")]
    lines = [line.get("stroke") for line in root.iter(f"{SVG}line")]
    words = [text.text for text in root.iter(f"{SVG}text")]
    return circles, lines, words


def test_every_step_and_every_tap_of_the_chosen_output_is_drawn():
    model = unrecur.Serial(CausalConvolution(1, 1, 2, 1), CausalConvolution(1, 1, 2, 2))
    circles, lines, words = drawn(model, 6, output=5)
    assert len(circles) == 18
    dark = [fill for fill, _ in circles].count("#1f4e79")
    assert dark == 4 + 2 + 1  # the inputs seen, the hidden steps, the output
    assert lines.count("#1f4e79") == 4 + 2
    assert words == ["inputs: 3 before, 0 after", "6 outputs", "6 outputs"]


def test_padding_is_a_ring_and_rates_are_told():
    model = nn.Sequential(nn.Conv1d(1, 1, 3, 2, 1), nn.ReLU(), nn.ConvTranspose1d(1, 1, 2, 2))
    circles, _, words = drawn(model, 7, output=0)
    assert ("#ffffff", "#1f4e79") in circles
    assert words[1:] == ["4 outputs, stride 2", "8 outputs, stride 1/2"]


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (2, None, "Draw more"),
        (500, None, "up to 200"),
        (9, 30, "outputs 0 to 4"),
        (0, None, "whole"),
    ],
)
def test_what_cannot_be_drawn_is_refused(inputs, output, message):
    with pytest.raises(InputError, match=message):
        drawn(nn.Conv1d(1, 1, 5), inputs, output)
