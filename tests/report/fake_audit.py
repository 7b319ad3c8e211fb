"""Records of real audits of tiny models, and ones that are made up from them."""

import copy
import functools

import torch
from torch import nn

import unrecur
from unrecur.audits.audit import audit
from unrecur.audits.record import to_record


class Two(nn.Module):
    """Two recurrences in one model, and one output a sequence."""

    def __init__(self):
        super().__init__()
        self.first = nn.GRU(2, 3, batch_first=True, bidirectional=True)
        self.second = nn.LSTM(6, 3, batch_first=True)
        self.out = nn.Linear(3, 2)

    def forward(self, x):
        return self.out(self.second(self.first(x)[0])[0][:, -1])


@functools.cache
def _two():
    torch.manual_seed(0)
    return to_record(audit(Two().eval(), torch.randn(3, 24, 2), decision="argmax"))


@functools.cache
def _proved():
    torch.manual_seed(0)
    model = unrecur.build("gru", in_features=2, out_features=1, hidden=4).eval()
    unrecur.project_(model, 1.0, rate=0.8)
    x = 2 * torch.rand(120, 12, 2) - 1

    def score(y):
        return float(y.square().mean())

    return to_record(audit(model, x, metric=score, decision=0.0, errors=(0.1, 0.01)))


def two_recurrences():
    """A bidirectional GRU under an LSTM, one output a sequence, decided by argmax; no proofs."""
    return copy.deepcopy(_two())


def all_proved():
    """A GRU that provably forgets, on sequences enough for every tier of evidence."""
    return copy.deepcopy(_proved())


def emptied(tree):
    """Put null in the place of every number, flag and text but the names of things."""
    if isinstance(tree, dict):
        kept = {"name", "of", "tier", "recurrences"}
        return {k: v if k in kept and isinstance(v, str) else emptied(v) for k, v in tree.items()}
    return [emptied(entry) for entry in tree] if isinstance(tree, list) else None
