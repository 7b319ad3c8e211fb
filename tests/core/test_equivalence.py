"""check_equivalence reports the difference of the two forms, where it is."""

import pytest
import torch

from cases import FEATURES, SPECS
from unrecur import check_equivalence
from unrecur.core.compose import Serial


@pytest.mark.parametrize("name", SPECS)
def test_our_models_agree_to_rounding(name):
    torch.manual_seed(0)
    found = check_equivalence(SPECS[name].build().eval(), torch.rand(2, 20, FEATURES))
    assert found.largest < 1e-5
    assert found.state < 1e-5
    assert found.per_step.shape == (20,)


class Drifting(Serial):
    """Its step form errs by 0.5 from the sixth step on."""

    def init_state(self, batch):
        return super().init_state(batch), torch.zeros(batch)

    def forward(self, x, state=None, lengths=None):
        inner, count = self.init_state(len(x)) if state is None else state
        y, inner = super().forward(x, inner, lengths)
        return y, (inner, count + x.shape[1])

    def step(self, x_t, state=None):
        inner, count = self.init_state(len(x_t)) if state is None else state
        y, inner = super().step(x_t, inner)
        return y + 0.5 * (count >= 5)[:, None], (inner, count + 1)


def test_a_difference_is_found_at_its_step():
    torch.manual_seed(0)
    model = Drifting(*SPECS["gru"].build().models).eval()
    found = check_equivalence(model, torch.rand(3, 9, FEATURES))
    assert found.per_step[:5].max() < 1e-5
    assert found.per_step[5:].tolist() == pytest.approx([0.5] * 4, abs=1e-5)
    assert f"at step {int(found.per_step.argmax())} of 9" in str(found)
