"""The figures of a study's page: their headings, and what to read from them."""

from unrecur.report import sheets
from unrecur.report.context_figures import context_figure, context_sheet
from unrecur.report.differences import differences_figure, differences_sheet
from unrecur.report.figures import memory_figure, size_figure, speed_figure, training_figure
from unrecur.report.forest import verdict_figure
from unrecur.report.fronts import fronts_figure, fronts_sheet
from unrecur.report.part import Part
from unrecur.report.tuning_figures import (
    draws_figure,
    draws_sheet,
    importance_figure,
    importance_sheet,
)

VERDICT = Part(
    "verdict",
    "The verdict",
    "Each line is the interval of one feed-forward model's difference, the grey band the margin. "
    "Recurrence is not needed where one interval ends before the band's edge on the recurrent "
    "side; it is needed where all intervals lie beyond that edge.",
    verdict_figure,
    sheets.verdict_sheet,
)
PARTS = (
    Part(
        "memory",
        "Memory",
        "The first panel shows the metric of a model that sees only its last k inputs, the band "
        "and the thin lines its seeds; the k from which on its curve lies on its dotted line (all "
        "inputs) is its memory. The second shows the largest difference of its outputs from those "
        "with all inputs, the thin line their median, the dashed one the certified bound. A ring "
        "marks the chosen window.",
        memory_figure,
        sheets.memory_sheet,
    ),
    Part(
        "context",
        "Recurrence or longer context",
        "What recurrence gives and what a longer past gives, told apart. Architecture: a "
        "feed-forward model that sees k inputs against the recurrent one truncated to k. Context: "
        "the recurrent model truncated to k against the same on all inputs. Above zero is worse "
        "where lower is better; the grey band is the margin.",
        context_figure,
        context_sheet,
        optional=True,
    ),
    Part(
        "training",
        "Loss curves",
        "Lines are medians over seeds, bands reach from the lowest to the highest seed, and both "
        "end where the first seed ends. A validation loss that still falls at its end was stopped "
        "early; one that rises while training loss falls overfits.",
        training_figure,
        sheets.training_sheet,
    ),
    Part(
        "size",
        "Loss against parameters",
        "Each mark is one seed. Marks one above another compare families at equal size; a model "
        "no better than a grey floor has learnt nothing that counting would not show.",
        size_figure,
        sheets.size_sheet,
    ),
    Part(
        "fronts",
        "What a better metric costs",
        "Each mark is a model, its test metric the mean over seeds, its cost the median; in the "
        "panel of k, a model that sees its last k inputs. Grey line and rings: what nothing as "
        "cheap surpasses, the Pareto front. Memory is that of parameters and of one stream's "
        "state. Floors are left out.",
        fronts_figure,
        fronts_sheet,
    ),
    Part(
        "differences",
        "Sequence by sequence",
        "The loss of the best feed-forward model on each test sequence against that of the best "
        "recurrent one, means over seeds, sorted; the grey band is the margin. A steep end shows "
        "a few sequences that decide; a flat line that they differ everywhere alike.",
        differences_figure,
        differences_sheet,
        optional=True,
    ),
    Part(
        "tuning",
        "Tuning",
        "Each mark is a draw of hyperparameters that was trained to its end, the ring the one that "
        "was chosen. A best draw at the edge of its range asks for a wider one.",
        draws_figure,
        draws_sheet,
        optional=True,
    ),
    Part(
        "importance",
        "Which hyperparameters mattered",
        "By PED-ANOVA, from where the best tenth of a model's draws lies in the range of all. "
        "Shares of models with few draws are rough; models with fewer than 8 are left out.",
        importance_figure,
        importance_sheet,
        optional=True,
    ),
    Part(
        "speed",
        "Speed",
        "Medians over seeds. Longer bars are faster for the two rates and slower for the time of "
        "one streaming step. The floors, which are faster by far, are among the numbers.",
        speed_figure,
        sheets.speed_sheet,
    ),
)
