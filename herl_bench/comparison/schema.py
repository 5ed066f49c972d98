"""A finished comparison, as data: what `herl-bench compare` computes and writes, and every report is made of.

    Comparison
    ├── arms        what is compared: a method with its settings; the first is the baseline
    ├── tasks       TaskItems: the evaluation items, once, that outcome vectors and flips refer to by position
    ├── runs        RunRecord: one cell (task, arm, seed): scores, curve, spending, outcomes per item, manifest
    ├── failed      cells that have no result, with the reason
    ├── arm_scores  ArmScore: per task and arm, over seeds
    ├── contrasts   Contrast: per task, one arm against the baseline: tests, interval, verdict, flips, criteria
    ├── overall     Overall: per arm, over several tasks; empty for one
    └── unequal     differences that `--allow_unequal` let through; empty where the comparison is fair

Shares and scores are in [0, 1]. An interval is at `Comparison.level` (0.95). Everything is frozen and
JSON-serialisable; `to_json` and `from_json` are inverse to each other. Left out: how anything is computed
(`statistics.py`, `analyse.py`) and how it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from herl_bench.comparison.statistics import LEVEL
from herl_bench.evaluation.scores import Score
from herl_bench.reading import parse_written

FORMAT = 1
"""Version of the file format."""

VerdictWord = Literal["better", "worse", "no difference larger than", "not enough seeds", "not enough items"]


# ----------------------------------------------------------------------------------------------------- what is compared
@dataclass(frozen=True)
class Arm:
    """A method with its settings: those that differ from the method's defaults or between arms, as given."""

    name: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One evaluation item. family, planted: None where its source does not say."""

    id: str
    prompt: str
    target: str
    family: str | None = None
    planted: bool | None = None


@dataclass(frozen=True)
class TaskItems:
    """A task's evaluation items in order. metric: key `name,filter` of the primary one. criteria: of all runs; guides:
    those that no run pays for."""

    task: str
    metric: str
    higher_is_better: bool
    source: str
    items: tuple[Item, ...]
    criteria: tuple[str, ...]
    guides: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------------------------------------- a run
@dataclass(frozen=True)
class Spent:
    """What a run used; evaluation is not charged anywhere. flops: 2 N per token passed forward, 6 N per trained one
    (N: the base model's parameters); None if not metered. wall_s: seconds of training, resumed parts included."""

    tokens: int
    rollouts: int
    reward_calls: int
    optimizer_steps: int
    wall_s: float
    flops: float | None


@dataclass(frozen=True)
class Point:
    """One training step of the learning curve, at `tokens` generated so far; of unguided responses, unless said.

    gap: reward minus metric. revision_metric: primary metric of revisions (with guidance); guided_reward: reward under
    guidance out of the buffer. eval_metric: primary metric of a greedy evaluation after this step, where one was made.
    """

    step: int
    tokens: int
    reward: float | None
    metric: float | None
    metric_planted: float | None = None
    metric_plain: float | None = None
    gap: float | None = None
    criteria: Mapping[str, float | None] = field(default_factory=dict)
    kl: float | None = None
    revisions: int = 0
    revision_reward: float | None = None
    revision_metric: float | None = None
    revision_improvement: float | None = None
    revision_improved: float | None = None
    revise_share: float | None = None
    guided_reward: float | None = None
    bonus: float | None = None
    eval_metric: float | None = None


@dataclass(frozen=True)
class Evaluated:
    """One evaluation of one policy (greedy, fixed items).

    outcomes: the primary metric per item, aligned with `TaskItems.items`; None where it could not be computed.
    co_failure: `co_failure[a][b]` responses that missed both criteria a and b (the diagonal: that missed a), in the
    order of `TaskItems.criteria`.
    errors: responses with something that could not be decided. endings: how programs ended that were cut off (timeout,
    memory, crash, protocol, violation), number of responses; the last two are what a forged result looks like. Empty
    where no code runs.
    gap: mean reward minus mean primary metric. undecided: answers without an outcome, which count as wrong. shared:
    whose verdict rests on the program's own comparison.
    """

    metrics: Mapping[str, Score]
    reward: Score
    criteria: Mapping[str, Score]
    planted: Mapping[str, Score]
    families: Mapping[str, Score]
    unparsed: float
    truncated: float | None
    empty: float
    errors: int
    endings: Mapping[str, int]
    gap: float | None
    outcomes: tuple[float | None, ...]
    co_failure: tuple[tuple[int, ...], ...]
    undecided: int = 0
    shared: int = 0


@dataclass(frozen=True)
class Calibration:
    """Of the bonus critic at the run's end, out of sample. reliability: bins (mean predicted, mean measured, count)."""

    gate_open: bool
    judged: int
    mae: float | None = None
    mse: float | None = None
    mse_constant: float | None = None
    mse_headroom: float | None = None
    mse_line: float | None = None
    explained_variance: float | None = None
    spearman: float | None = None
    auroc: float | None = None
    reliability: tuple[tuple[float, float, int], ...] = ()


@dataclass(frozen=True)
class Repair:
    """What hindsight did to one criterion in training: of the drafts that missed it, how many revisions met it; of
    those that met it, how many revisions broke it."""

    criterion: str
    missed: int
    fixed: int
    met: int
    broken: int


@dataclass(frozen=True)
class Audit:
    """One revision of training, whole: draft, guidance, revision, and the criteria that flipped."""

    step: int
    id: str
    prompt: str
    draft: str
    guidance: str
    revision: str
    reward_before: float | None
    reward_after: float | None
    fixed: tuple[str, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True)
class RunRecord:
    """One finished cell. directory: relative to the comparison's if inside, else absolute. audits: an even sample."""

    task: str
    arm: str
    method: str
    seed: int
    directory: str
    budget: int
    spent: Spent
    before: Evaluated
    after: Evaluated
    curve: tuple[Point, ...]
    curve_area: float | None
    tokens_to_target: int | None
    calibration: Calibration | None
    repairs: tuple[Repair, ...]
    audits: tuple[Audit, ...]
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class FailedCell:
    task: str
    arm: str
    seed: int
    directory: str
    reason: str


# ----------------------------------------------------------------------------------------------------------- over seeds
@dataclass(frozen=True)
class Interval:
    """value: the estimate. low, high: None where too few runs allow none. method: that made the bounds, in words."""

    value: float | None
    low: float | None
    high: float | None
    method: str


UNTRAINED, UNSCORED = Interval(None, None, None, "nothing was trained"), Score(None, None, 0)


@dataclass(frozen=True)
class BandPoint:
    """A learning curve at one token count: mean, lowest and highest of `runs` seeds (linear interpolation)."""

    tokens: int
    mean: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True, kw_only=True)
class ArmScore:
    """One arm on one task. score: primary metric after training. curve: the same in training; criteria: per criterion.

    revise_share: of the rollouts that were kept for revisions; empty where that was a fixed number.
    target: the score that `tokens_to_target` waits for (the last quarter of the baseline's mean curve). kinds: `score`
    over items with a planted misconception (`planted`) and over the others (`plain`) apart; empty where items do not
    say which they are. held_out: primary metric on the evaluation items while training, before and after included;
    empty where `eval_steps` made no evaluation in between. tokens_to_final: where its mean has reached, and keeps, what
    the baseline's ends with. undecided, shared: of the `responses`, as in `Evaluated`. fell: it ended below where it
    began, by more than the noise of its items. spent: None where nothing was trained, and then what speaks of training
    is empty, as it is if left out.
    """

    task: str
    arm: str
    seeds: tuple[int, ...] = ()
    before: Score = UNSCORED
    score: Interval
    gain: Interval = UNTRAINED
    iqm: Interval = UNTRAINED
    curve_area: Interval = UNTRAINED
    target: float | None = None
    tokens_to_target: tuple[int | None, ...] = ()
    spent: Spent | None = None
    curve: tuple[BandPoint, ...] = ()
    criteria_curves: Mapping[str, tuple[BandPoint, ...]] = field(default_factory=dict)
    plain_vs_guided: tuple[tuple[int, float, float], ...] = ()
    revise_share: tuple[BandPoint, ...] = ()
    co_failure: tuple[tuple[int, ...], ...] = ()
    responses: int
    repairs: tuple[Repair, ...] = ()
    errors: int
    endings: Mapping[str, int] = field(default_factory=dict)
    gap: float | None = None
    kinds: Mapping[str, Interval] = field(default_factory=dict)
    held_out: tuple[BandPoint, ...] = ()
    tokens_to_final: int | None = None
    undecided: int = 0
    shared: int = 0
    fell: bool = False


# ------------------------------------------------------------------------------------------------- arm against baseline
@dataclass(frozen=True)
class SeedTest:
    """Within one seed, on the same items. fixed, broken: items that only the arm, only the baseline got right.
    p_mcnemar: exact, two-sided; None where the metric is not 0 or 1. difference: paired bootstrap over items."""

    seed: int
    items: int
    fixed: int
    broken: int
    difference: Interval
    p_mcnemar: float | None


@dataclass(frozen=True)
class Flip:
    """An item that one of the two alone got right, in a seed. item: position in `TaskItems.items`. missed: criteria."""

    seed: int
    item: int
    fixed: bool
    baseline_response: str
    response: str
    baseline_missed: tuple[str, ...]
    missed: tuple[str, ...]


@dataclass(frozen=True)
class CriterionChange:
    """Pass rates after training, over seeds. verdict: by the corrected test."""

    criterion: str
    baseline: float | None
    arm: float | None
    difference: Interval
    p: float | None
    p_holm: float | None
    verdict: Literal["fixed", "regressed", "unclear"]


@dataclass(frozen=True)
class Verdict:
    """By the fixed rules of `verdict.py`. bound: the X of "no difference larger than X"."""

    word: VerdictWord
    sentence: str
    bound: float | None = None


@dataclass(frozen=True)
class Contrast:
    """One arm against the baseline on one task, over the seeds that both have.

    difference: of the primary metric after training, arm minus baseline, seeds and items both random; `p` belongs to
    it, `p_holm` is corrected over all contrasts of the comparison. hierarchical: the same by a hierarchical bootstrap,
    for reference. improvement: chance that a run of the arm beats a run of the baseline. seed_share: share of the
    difference's variance that more seeds would shrink. detectable: smallest true difference that this design finds 4
    times in 5. kinds: `difference` over planted and plain items apart, as in `ArmScore`.
    """

    task: str
    arm: str
    baseline: str
    seeds: tuple[int, ...]
    items: int
    difference: Interval
    p: float | None
    p_holm: float | None
    hierarchical: Interval
    improvement: Interval
    seed_share: float | None
    detectable: float | None
    verdict: Verdict
    seed_tests: tuple[SeedTest, ...]
    flips: tuple[Flip, ...]
    criteria: tuple[CriterionChange, ...]
    kinds: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class Overall:
    """One arm over all tasks together, where every task has the same seeds. improvement: None for the baseline."""

    arm: str
    iqm: Interval
    improvement: Interval | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything. verdicts: what must be said first (unequal budgets, failed cells), a sentence per contrast, and which
    arms ended below where they began. runs: empty where sets of answers were paired, without training."""

    baseline: str
    arms: tuple[Arm, ...]
    tasks: tuple[TaskItems, ...]
    seeds: tuple[int, ...] = ()
    budget: int | None = None
    runs: tuple[RunRecord, ...] = ()
    failed: tuple[FailedCell, ...] = ()
    arm_scores: tuple[ArmScore, ...]
    contrasts: tuple[Contrast, ...]
    overall: tuple[Overall, ...] = ()
    unequal: tuple[str, ...] = ()
    notes: tuple[str, ...]
    verdicts: tuple[str, ...]
    command: str
    version: str
    level: float = LEVEL
    format: int = FORMAT


# ----------------------------------------------------------------------------------------------------------------- JSON
def to_json(comparison: Comparison) -> str:
    values = asdict(comparison)
    kept = {f.name: values[f.name] for f in fields(Comparison)}  # a subclass may have more
    return json.dumps(kept, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def from_json(text: str, where: str = "compare.json") -> Comparison:
    """Raises `UsageError` naming the field for what is not a comparison that this version wrote."""
    return parse_written(Comparison, text, where, "comparison")
