"""The numbers of parameters by formula are those of the models that are built."""

import pytest

import cases
from unrecur.models import MODELS
from unrecur.models.spec import Spec

SPECS = {name: spec for table in cases.MODEL_TABLES for name, spec in table.items()}


@pytest.mark.parametrize("name", MODELS)
def test_the_example_of_every_model_is_counted(name):
    spec = Spec(name, MODELS[name].example)
    assert MODELS[name].parameters(**spec.options) == spec.parameters


@pytest.mark.parametrize("name", SPECS)
def test_every_case_is_counted(name):
    spec = SPECS[name]
    assert MODELS[spec.name].parameters(**spec.options) == spec.parameters


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("tokens", [False, True])
def test_embeddings_and_stacks_are_counted(layers, tokens):
    options = {"in_features": 7, "out_features": 3, "hidden": 4, "tokens": tokens}
    for name, deep in (("lstm", {"layers": layers}), ("tcn", {"levels": layers})):
        spec = Spec(name, options | deep)
        assert MODELS[name].parameters(**spec.options) == spec.parameters
