"""What the README shows runs as written."""

import re
from pathlib import Path

import pytest
import torch

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.skipif(not README.exists(), reason="the README is not here")
def test_the_examples_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    torch.manual_seed(0)
    exec("\n".join(blocks), {})
    lines = capsys.readouterr().out.splitlines()
    assert "largest difference" in lines[0]
    *held, audited = lines[2:]
    assert held
    assert all("True" in line for line in held)
    assert re.match(r"\d+ \['Truncate it to \d+ inputs", audited)


def test_it_is_short_and_lists_every_verb():
    from typer.main import get_command

    from unrecur.cli.main import app

    text = README.read_text()
    assert len(text.splitlines()) < 120
    for verb in get_command(app).commands:
        assert f"| `unrecur {verb}" in text
