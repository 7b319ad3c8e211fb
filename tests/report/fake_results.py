"""A finished study's results, made up but of the right size, the same at every call."""

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
        "history": _history(test, noise, 30 + seed) if trained else [],
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
