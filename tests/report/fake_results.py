"""Finished studies' results, made up but of the right size, the same at every call."""

import math
import random

#        model          family          parameters  test  rate  train/s  forward/s  step s
MODELS = (
    ("lstm", "recurrent", 99_928, 7.62, 0.80, 91_000, 240_000, 112e-6),
    ("gru", "recurrent", 100_408, 7.58, 0.78, 88_000, 251_000, 96e-6),
    ("stable-lstm", "recurrent", 99_928, 7.71, 0.60, 74_000, 239_000, 113e-6),
    ("tcn", "feed-forward", 101_200, 7.66, 0.55, 310_000, 1_420_000, 184e-6),
    ("frequencies", "floor", 88, 9.31, None, None, 9_800_000, 4e-6),
    ("markov", "floor", 7_744, 8.24, None, None, 6_100_000, 7e-6),
)
KS = (1, 2, 4, 8, 16, 32, 64)


def fake_results(models=MODELS, seeds=3):
    return {
        "version": "0.1.0",
        "created": "2025-11-03T14:22:05+00:00",
        "command": "unrecur study chorales --seeds 3 --out runs/chorales",
        "seconds": 4231.7,
        "task": _task(),
        "settings": {
            "seeds": 3,
            "parameters": 100_000,
            "learning_rate": 1e-3,
            "batch_size": 16,
            "epochs": 40,
            "patience": 8,
            "tolerance": 0.01,
            "device": "cpu",
            "stable": True,
            "notes": None,
        },
        "verdict": _verdict(),
        "rows": [_row(*model, seed) for model in models for seed in range(seeds)],
        "truncation": {
            "model": "stable-lstm",
            "seed": 0,
            "k": 8,
            "tolerance": 0.01,
            "metric": 7.7291,
            "full_metric": 7.7089,
            "output_error_max": 0.084,
            "bound": 1.79,
        },
        "environment": {
            "python": "3.11.9",
            "torch": "2.13.0+cpu",
            "device": "cpu",
            "threads": 2,
            "platform": "Linux-6.1-x86_64",
            "git": "407f1f6c",
        },
    }


def _task():
    sizes = {"train": (229, 13_712), "valid": (76, 4_680), "test": (77, 4_644)}
    return {
        "name": "chorales",
        "title": "Bach chorales (JSB), next frame",
        "metric": "negative log-likelihood",
        "unit": "nats per frame",
        "lower_is_better": True,
        "chance_level": 60.99,
        "splits": {
            split: {"sequences": count, "steps": steps, "hash": f"{split}5f2c9a01" * 5}
            for split, (count, steps) in sizes.items()
        },
    }


def _verdict():
    comparison = {
        "feed_forward": "tcn",
        "recurrent": "gru",
        "relative_difference": 0.0105,
        "low": 0.0041,
        "high": 0.0168,
        "feed_forward_metric": 7.66,
        "recurrent_metric": 7.58,
    }
    truncated = {"relative_difference": 0.0052, "low": -0.0009, "high": 0.0117}
    truncated |= {"feed_forward": "gru on 16 inputs", "feed_forward_metric": 7.62}
    return {
        "answer": "not needed",
        "headline": "The best feed-forward model (tcn) is within 2% of the best recurrent one.",
        "reasons": [
            "tcn against gru: +1.05% [+0.41%, +1.68%], within the margin of 2%.",
            "stable-lstm loses 1.7% to gru and forgets at rate 0.60.",
            "Both families beat the Markov floor (8.24 nats per frame) in every seed.",
        ],
        "margin": 0.02,
        "confidence": 0.95,
        "comparisons": [comparison, {**comparison, **truncated}],
    }


def _row(model, family, parameters, test, rate, train_speed, forward_speed, step, seed):
    noise = random.Random(f"{model}{seed}")
    test += noise.gauss(0, 0.012)
    trained = rate is not None
    return {
        "model": model,
        "family": family,
        "seed": seed,
        "parameters": parameters,
        "metric": {"train": test - 0.7 * trained, "valid": test + 0.09, "test": test},
        "stopped": "patience" if trained else None,
        "best_epoch": 22 + seed if trained else None,
        "history": _history(test, noise, 30 + seed % 3) if trained else [],
        "speed": {
            "train_steps_per_second": train_speed and train_speed * noise.uniform(0.95, 1.05),
            "forward_steps_per_second": forward_speed * noise.uniform(0.95, 1.05),
            "step_seconds": step * noise.uniform(0.95, 1.05),
            "step_error": 2.4e-7,
        },
        "memory": _memory(test, rate, model, noise) if trained else [],
        "full_metric": test,
        "certificate": _certificate(model) if trained else None,
    }


def _history(test, noise, epochs):
    return [
        {
            "epoch": epoch,
            "train": test - 0.9 + 6 * math.exp(-epoch / 4) + noise.gauss(0, 0.01),
            "valid": test + 0.09 + 5 * math.exp(-epoch / 4) + 0.004 * max(0, epoch - 22),
            "seconds": 3.1,
        }
        for epoch in range(1, epochs + 1)
    ]


def _memory(test, rate, model, noise):
    return [
        {
            "k": k,
            "metric": test + 1.1 * rate**k + abs(noise.gauss(0, 0.002)),
            "output_error_median": 0.4 * rate**k + 2e-7,
            "output_error_max": 5 * rate**k + 1e-6,
            "bound": 31 * 0.7**k + 3e-6 if model == "stable-lstm" else math.inf,
        }
        for k in KS
    ]


def _certificate(model):
    if model == "stable-lstm":
        return {
            "evidence": "proved",
            "rate": 0.7,
            "norm": "sup",
            "assumptions": ["every input lies in [0, 1]", "float32 arithmetic, round to nearest"],
            "reasons": ["forget gate at most 0.64; recurrent weights bounded in the sup norm"],
        }
    return {
        "evidence": "unknown",
        "rate": math.inf,
        "norm": "",
        "assumptions": [],
        "reasons": ["the state's Jacobian is not bounded below 1 in any norm tried"],
    }


def grown_results(models=MODELS, seeds=3, sequences=77, draws=20):
    """A study with all that one may have: tuning, failures, contexts, other matches."""
    results = fake_results(models, seeds)
    for row in results["rows"]:
        row |= _more(row, sequences)
    trained = [model for model in models if model[4] is not None]
    results["rows"] += [_matched(*model, by) for model in trained for by in ("latency", "time")]
    results["tuning"] = [_draw(model, number) for model in trained for number in range(draws)]
    results["failures"] = [
        {"model": "gru", "seed": 2, "stage": "training", "reason": "the loss is NaN at epoch 3"},
        {"model": "tcn", "seed": None, "stage": "tuning", "reason": "out of memory"},
    ]
    results["skipped"] = [
        {"model": "transformer", "family": "feed-forward", "reason": "no width fits 100,000"}
    ]
    results["estimate"] = {"seconds": 3900.0, "by_model": {"lstm": 310.0, "tcn": 140.0}}
    results["context"] = [_context(k) for k in (2, 4, 8, 16)]
    results["verdict"] |= {
        "gives_up": ["Dependencies beyond 15 inputs are out of sight of tcn."],
        "gains": ["tcn trains 3.4 times as many steps per second as gru."],
        "pays_until": 8,
        "power": {"sentence": "About 2 more seeds would decide about tcn.", "seeds": 2},
    }
    return results


def crowded_results(recipes=20, seeds=50):
    """A thousand trials, and as many draws: recipes in two families, and two floors."""
    families = (MODELS[0], MODELS[3])
    models = [
        (f"{base[0]}-{place}", *base[1:3], base[3] * (1 + 0.004 * place), *base[4:])
        for place in range(recipes)
        for base in [families[place % 2]]
    ]
    return grown_results((*models, *MODELS[4:]), seeds, draws=1000 // recipes)


def _more(row, sequences):
    noise = random.Random(f"more {row['model']}{row['seed']}")
    easy = random.Random("sequences")
    test = row["metric"]["test"]
    losses = [
        40 * test * easy.uniform(0.5, 1.5) * noise.uniform(0.95, 1.05) for _ in range(sequences)
    ]
    held = {"parameters": 4 * row["parameters"], "state": 512}
    return {"test_losses": losses, "bytes": held, "wall_seconds": noise.uniform(100, 200)}


def _matched(model, family, parameters, test, rate, train_speed, forward_speed, step, by):
    size = int(parameters * (0.5 if family == "recurrent" else 1.7))
    row = _row(model, family, size, test + 0.1, rate, train_speed, forward_speed, 9e-5, 0)
    return row | {"match": by} | _more(row, 5)


def _draw(model, number):
    """Draws in which the learning rate decides, and dropout does nothing."""
    noise = random.Random(f"draw {model[0]}{number}")
    rate = 10 ** noise.uniform(-3.5, -1.5)
    valid = model[3] + 0.09 + 0.4 * (math.log10(rate) + 2.4) ** 2 + noise.gauss(0, 0.005)
    state = "failed" if number % 11 == 10 else "pruned" if number % 7 == 6 else "complete"
    return {
        "model": model[0],
        "family": model[1],
        "number": number,
        "params": {
            "learning_rate": rate,
            "dropout": noise.uniform(0, 0.5),
            "gate": "a" * (1 + number % 2),
        },
        "valid": None if state == "failed" else valid,
        "seconds": 40.0 + number,
        "epochs": 3 if state == "pruned" else 12,
        "state": state,
        "reason": "diverged" if state == "failed" else None,
    }


def _context(k):
    lost = 0.6**k
    return {
        "k": k,
        "feed_forward": f"tcn on {k} inputs",
        "recurrent": "gru",
        "feed_forward_metric": 7.62 * (1 + lost),
        "truncated_metric": 7.58 * (1 + lost),
        "full_metric": 7.58,
        "architecture": {"relative_difference": 0.005, "low": -0.002, "high": 0.012},
        "context": {"relative_difference": lost, "low": lost - 0.006, "high": lost + 0.006},
    }
