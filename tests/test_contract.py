"""Every cell, layer and model obeys the laws, at several shapes."""

import pytest
import torch
from torch import nn

from cases import (
    BLOCK_SPECS,
    FEATURES,
    FITTED_SPECS,
    LAYERS,
    MODEL_TABLES,
    READING_SPECS,
    SOURCE_TOKENS,
    SPECS,
    TARGET_TOKENS,
    TOKEN_LAYERS,
    TOKEN_SPECS,
    TRANSLATION_SPECS,
    VOCABULARY,
)
from contract import verify_contract
from unrecur.core.compose import Serial
from unrecur.core.field import Field
from unrecur.layers.convolution import CausalConvolution
from unrecur.layers.recurrent import Recurrent
from unrecur.models import MODELS
from unrecur.models.ngram import NGram

SHAPES = [(2, 3), (3, 8), (5, 17)]


@pytest.mark.parametrize(("batch", "time"), SHAPES)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_obey_the_laws(name, batch, time):
    torch.manual_seed(0)
    verify_contract(LAYERS[name], torch.randn(batch, time, FEATURES))


@pytest.mark.parametrize(("batch", "time"), SHAPES)
@pytest.mark.parametrize("name", TOKEN_LAYERS)
def test_layers_of_tokens_obey_the_laws(name, batch, time):
    torch.manual_seed(0)
    verify_contract(TOKEN_LAYERS[name], torch.randint(0, 6, (batch, time)))


@pytest.mark.parametrize(("batch", "time"), SHAPES)
@pytest.mark.parametrize("name", SPECS)
def test_models_obey_the_laws(name, batch, time):
    torch.manual_seed(0)
    verify_contract(filled(SPECS[name]), torch.rand(batch, time, FEATURES))


@pytest.mark.parametrize(("batch", "time"), SHAPES)
@pytest.mark.parametrize("name", BLOCK_SPECS)
def test_models_that_look_ahead_obey_the_laws(name, batch, time):
    torch.manual_seed(0)
    verify_contract(filled(BLOCK_SPECS[name]), torch.rand(batch, time, FEATURES))


@pytest.mark.parametrize(("batch", "time"), SHAPES)
@pytest.mark.parametrize("name", TOKEN_SPECS)
def test_models_of_tokens_obey_the_laws(name, batch, time):
    torch.manual_seed(0)
    verify_contract(filled(TOKEN_SPECS[name]), torch.randint(0, VOCABULARY, (batch, time)))


@pytest.mark.parametrize(("batch", "time"), SHAPES)
@pytest.mark.parametrize("name", TRANSLATION_SPECS)
def test_translators_obey_the_laws(name, batch, time):
    torch.manual_seed(0)
    verify_contract(
        filled(TRANSLATION_SPECS[name]),
        torch.randint(0, TARGET_TOKENS, (batch, time)),
        source=torch.randint(0, SOURCE_TOKENS, (batch, time + 2)),
    )


@pytest.mark.parametrize(("batch", "time"), SHAPES)
@pytest.mark.parametrize("name", READING_SPECS)
def test_readers_obey_the_laws(name, batch, time):
    torch.manual_seed(0)
    verify_contract(
        filled(READING_SPECS[name]),
        torch.randint(0, VOCABULARY, (batch, time)),
        source=torch.randint(0, VOCABULARY, (batch, time + 2)),
    )


@pytest.mark.parametrize(("batch", "time"), SHAPES)
@pytest.mark.parametrize("name", FITTED_SPECS)
def test_fitted_models_obey_the_laws(name, batch, time):
    torch.manual_seed(0)
    spec = FITTED_SPECS[name]
    if spec.build().takes_tokens:
        verify_contract(fitted(spec), torch.randint(0, VOCABULARY, (batch, time)))
    else:
        verify_contract(fitted(spec), torch.rand(batch, time, FEATURES))


def fitted(spec):
    """A builder of models with their own random distributions, or the counts of some sequence."""

    def make():
        model = spec.build()
        if isinstance(model, NGram):
            generator = torch.Generator().manual_seed(0)
            sequence = torch.randint(0, VOCABULARY, (60,), generator=generator)
            model.fit([(sequence[:-1], sequence[1:])])
        return model

    return make


def filled(spec):
    """A builder whose weights are all drawn at random, so that none is zero by construction."""

    def make():
        model = spec.build()
        for parameter in model.parameters():
            nn.init.normal_(parameter.data, std=0.7)
        return model

    return make


def test_every_model_of_the_table_is_a_case():
    specs = [spec for table in MODEL_TABLES for spec in table.values()]
    assert {spec.name for spec in specs} == set(MODELS)


class Leaky(Recurrent):
    """Breaks law 3: it keeps its state on the module."""

    kept = None

    def forward(self, x, state=None, lengths=None):
        y, self.kept = super().forward(x, state or self.kept, lengths)
        return y, self.kept


class Boastful(CausalConvolution):
    """Breaks law 4: it declares a wider field than it has."""

    @property
    def receptive_field(self):
        return Field(past=self.past + 1)


class Peeking(CausalConvolution):
    """Breaks law 5: rows see the mean of the batch."""

    def forward(self, x, state=None, lengths=None):
        return super().forward(x - x.mean(0), state, lengths)


class Lagging(Serial):
    """Breaks law 1: its step form forgets."""

    def step(self, x_t, state=None):
        return super().step(x_t, None)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Leaky(list(LAYERS["lstm"]().cells)),
        lambda: Boastful(FEATURES, 4, 3),
        lambda: Peeking(FEATURES, 4, 3),
        lambda: Lagging(*LAYERS["serial"]().models),
    ],
    ids=["leaky", "boastful", "peeking", "lagging"],
)
def test_the_contract_catches_a_breach(make):
    torch.manual_seed(0)
    with pytest.raises((AssertionError, IndexError, ValueError)):
        verify_contract(make, torch.randn(3, 8, FEATURES))
