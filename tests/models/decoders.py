"""Small decoders with scores far from each other."""

import torch

from unrecur import build

VOCABULARY = 5


def language_model(seed=0, cell="gru"):
    """A model of tokens."""
    torch.manual_seed(seed)
    model = build(
        cell, in_features=VOCABULARY, out_features=VOCABULARY, hidden=6, tokens=True
    ).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter.data)
    return model.eval()


def translator(seed=0, **options):
    """A model from tokens below 7 to tokens."""
    torch.manual_seed(seed)
    model = build("seq2seq", in_features=7, out_features=VOCABULARY, hidden=4, **options).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter.data)
    return model.eval()
