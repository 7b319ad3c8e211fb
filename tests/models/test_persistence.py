"""The naive forecasts against what they are by hand."""

import pytest
import torch

from unrecur import InputError, build


@pytest.mark.parametrize(("season", "leads"), [(1, [1, 2]), (4, [1, 2, 3, 4, 5]), (3, [2, 7, 9])])
def test_it_is_what_was_whole_seasons_ago(season, leads):
    x = torch.randn(2, 30, 3, generator=torch.Generator().manual_seed(0))
    options = {"in_features": 3, "targets": 2, "season": season, "leads": leads}
    model = build("persistence", out_features=2 * len(leads), **options)
    y = model(x)[0].unflatten(-1, (len(leads), 2))
    for t in range(season, 30):
        for place, lead in enumerate(leads):
            source = t + lead
            while source > t:
                source -= season
            assert y[:, t, place].tolist() == x[:, source, :2].tolist()


def test_it_is_fitted_to_the_drift_and_unknown_targets_do_not_count():
    x = torch.arange(10.0)[:, None]
    target = torch.cat([x + 3, x + 5], 1)
    target[[0, 4], 0] = torch.nan
    model = build("persistence", in_features=1, out_features=2)
    model.fit([(x, target)])
    assert model.bias.tolist() == [3, 5]
    model.fit([(x, target)])
    assert model.bias.tolist() == [3, 5], "what was fitted before is forgotten"


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused():
    for options in (
        {"out_features": 3, "targets": 2},
        {"out_features": 2, "leads": [1]},
        {"out_features": 2, "targets": 2, "in_features": 1},
    ):
        with pytest.raises(InputError, match="as many outputs as"):
            build("persistence", **({"in_features": 2} | options))
    for options in ({"season": 0}, {"leads": [0]}, {"targets": 0}):
        with pytest.raises(InputError, match="at least 1"):
            build("persistence", in_features=1, out_features=1, **options)
    model = build("persistence", in_features=1, out_features=1)
    with pytest.raises(InputError, match="none for output 0"):
        model.fit([(torch.ones(3, 1), torch.full((3, 1), torch.nan))])
