"""The parts of the study, as data: each a grid of `herl-bench compare` on one task, and what it costs.

Arms take what the tuning chose for their method on their task (`tuned.yaml`) unless they say otherwise. Parts of one
task share a folder, so that an arm that two of them have, with the same settings, is run once per seed.

Left out: running and collecting them (`study.py`), and what their numbers mean (`page.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from herl_bench.plugins import load_host

TUNED = Path(__file__).with_name("tuned.yaml")
TASKS = ("gsm8k", "humaneval", "bbh")
METHODS = ("ppo", "grpo", "rloo", "herl")
PASSES = {"ppo": "num_ppo_epochs", "herl": "num_ppo_epochs", "grpo": "num_iterations", "rloo": "num_iterations"}
TRIED = ((32, 1), (32, 4), (128, 4))
"""Rollouts and passes per step, the same for every method."""
FIVE, THREE = (0, 1, 2, 3, 4), (0, 1, 2)
BUDGET = {"gsm8k": 100_000, "humaneval": 50_000, "bbh": 100_000, "reasoning_gym": 100_000}
"""Generated tokens of a run. A response on humaneval has a third of the tokens that one on gsm8k has, and a step costs
programs."""
EVERY = {"gsm8k": 256, "humaneval": 512, "bbh": 384, "reasoning_gym": 384}
"""Rollouts between two evaluations while training: five or six a run."""
MINUTES = {"gsm8k": 1.3, "humaneval": 3.3, "bbh": 2.0, "reasoning_gym": 1.6}
"""CPU minutes of a run of 100,000 tokens."""
EVALUATION, PROBE, POLICY = 0.1, 1.2, 9.0
"""CPU minutes of one evaluation while training, of a probe, and of a warm start."""
RATES = ("learning_rate", "critic_learning_rate")
RATE = 3.0e-4
"""For all, from the first study's tuning, where a lower one was no better and a higher one worse."""
PROBED = 300
"""Problems of a probe."""
Arms = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Part:
    """arms: by name, with the settings in which they differ from their method's tuned ones; `like`: from another's.
    settings: of all arms. folder: inside --output_dir, of its runs; parts of one folder share them. cells: arms of HeRL
    whose gain over PPO goes into the forecast; with the settings of each the starting policy is probed. policy:
    settings of `herl-bench warmstart` in which its own policy differs from the embedded one; none for that one itself.
    share: of the task's budget. samples: to each problem, from the policies that other parts of its folder trained;
    such a part trains nothing."""

    name: str
    task: str
    what: str
    arms: Arms = field(default_factory=dict)
    seeds: tuple[int, ...] = THREE
    settings: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    cells: tuple[str, ...] = ()
    policy: str = ""
    share: float = 1.0
    samples: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.folder or self.task)

    @property
    def budget(self) -> int:
        return int(BUDGET[self.task] * self.share)

    @property
    def baselines(self) -> tuple[str, ...]:
        """Arms that all others are compared with: the first, and HeRL where there is more than these two."""
        return (next(iter(self.arms)), *(["herl"] if "herl" in self.arms and len(self.arms) > 2 else []))

    @property
    def command(self) -> str:
        return f"python benchmarks/science/study.py --parts {self.name}"

    def is_watched(self, arm: str) -> bool:
        """Evaluated while training, too, for learning curves and tokens to PPO's end."""
        return self.folder in TASKS and arm in ("ppo", "herl")

    def list_runs(self) -> list[tuple[str, str, str, int]]:
        """Folder, task, arm, seed: what is run once for all parts."""
        return [(self.folder, self.task, arm, seed) for arm in self.arms for seed in self.seeds]

    def build_grid(self) -> dict[str, Any]:
        """What a grid file of `herl-bench compare` holds."""
        tuned = read_tuned().get(self.task, {})
        arms = {}
        for name, own in self.arms.items():
            like = own.get("like", own["method"])
            arms[name] = {**tuned.get(like, {}), **{key: value for key, value in own.items() if key != "like"}}
            if self.is_watched(name):
                arms[name]["eval_steps"] = max(1, EVERY[self.task] // arms[name]["rollouts_per_step"])
        methods = {arm["method"] for arm in arms.values()}
        known = {one.name for method in methods for one in fields(load_host().get("method", method).config)}
        rates = {name: RATE for name in RATES if name in known}
        shared = {"budget": self.budget, "eval_items": 500, "data": "synthetic", **rates, **self.settings}
        return {
            "tasks": [self.task],
            "arms": arms,
            "seeds": list(self.seeds),
            "settings": shared,
            "baseline": self.baselines[0],
        }


def read_tuned() -> dict[str, dict[str, dict[str, Any]]]:
    """By task and method."""
    settings: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(TUNED.read_text(encoding="utf-8"))
    return settings


def make_arms(*methods: str, **variants: Mapping[str, Any]) -> Arms:
    """Methods as they are tuned; variants: of HeRL."""
    return {name: {"method": name} for name in methods} | {
        name.replace("_", "-"): {"method": "herl", **changed} for name, changed in variants.items()
    }


def _on_each(name: str, what: str, arms: Arms, tasks: Sequence[str] = TASKS, **more: Any) -> list[Part]:
    return [Part(f"{name}-{task}", task, what, arms, **more) for task in tasks]


def _in_other_world(name: str, what: str, task: str, policy: str = "", **settings: Any) -> Part:
    """PPO and HeRL alone, in a folder of their own, as a cell of the forecast."""
    return Part(name, task, what, BOTH, settings=settings, folder=name, cells=("herl",), policy=policy)


def _with_nothing_planted(name: str, what: str, task: str, **settings: Any) -> Part:
    """As `_in_other_world`, with the share of revisions that is measured."""
    return replace(_in_other_world(name, what, task, **settings), arms=AUTO, seeds=FIVE)


BOTH, AUTO = make_arms("ppo", "herl"), make_arms("ppo", "herl", auto={"revise_fraction": "auto"})
ONLY_PLAIN = {"train_context": "original"}
GENTLER = make_arms(
    "ppo",
    "herl",
    plain_prompt_alone=ONLY_PLAIN,
    right_alone={**ONLY_PLAIN, "imitation_threshold": 1.0},
    weight_third={**ONLY_PLAIN, "imitation_coef": 0.33},
    fading={**ONLY_PLAIN, "imitation_end": 1.0},
    guided_tokens={**ONLY_PLAIN, "imitation_tokens": "guided"},
)
CRITERIA, EVIDENCE = {"hint_level": "criteria"}, {"hint_level": "evidence"}
SHUFFLED, AGAIN = {"guidance": "shuffled"}, {"guidance": "again"}
BONUSES = {
    "no_bonus": {"bonus": "none"},
    "ungated": {"bonus_gate": False},
    "measured": {"bonus": "measured"},
    "shuffled": {"bonus": "shuffled", "bonus_gate": False},
}
TUNING = {
    f"{method}-{rollouts}x{passes}": {"method": method, "rollouts_per_step": rollouts, PASSES[method]: passes}
    for method in METHODS
    for rollouts, passes in TRIED
}
SHORT = "steps=1100"
"""Of a policy of its own, less than half of the embedded one's: that it is another matters more than how good it is."""
PARTS = (
    *_on_each("tune", "Rollouts and passes per step, of each method", TUNING, seeds=(100,), share=0.3, folder="tune"),
    *_on_each(
        "rules",
        "PPO and HeRL, and PPO with what was tuned for HeRL",
        {**BOTH, "ppo-as-herl": {"method": "ppo", "like": "herl"}},
        seeds=FIVE,
        cells=("herl",),
    ),
    *_on_each(
        "controls",
        "Guidance that says nothing of the draft: another problem's, and “Try again.”",
        make_arms("ppo", "herl", shuffled=SHUFFLED, again=AGAIN),
        seeds=FIVE,
    ),
    *_on_each(
        "levels",
        "How deep guidance goes",
        make_arms("ppo", "herl", criteria=CRITERIA, evidence=EVIDENCE),
        cells=("criteria", "evidence"),
    ),
    *_on_each("peers", "GRPO and RLOO beside PPO and HeRL", make_arms(*METHODS)),
    *(_in_other_world(f"single-{t}", "The old world: one other move is left", t, problems="single") for t in TASKS),
    Part(
        "single-words",
        "gsm8k",
        "The old world: does it matter what is said?",
        make_arms("ppo", "herl", shuffled=SHUFFLED, criteria=CRITERIA),
        settings={"problems": "single"},
        folder="single-gsm8k",
        cells=("criteria",),
    ),
    Part(
        "share",
        "gsm8k",
        "How many revisions: as many as they are measured to bring, or hardly any",
        {**AUTO, **make_arms(floor={"revise_fraction": 1 / 16})},
        seeds=FIVE,
    ),
    *(_with_nothing_planted(f"plain-{t}", "Nothing is planted", t, problems="plain") for t in ("gsm8k", "bbh")),
    _with_nothing_planted("reasoning_gym", "The example plugin's problems, where nothing is planted", "reasoning_gym"),
    Part("gentler", "gsm8k", "What may keep plain families from falling where HeRL imitates revisions", GENTLER),
    Part(
        "ablations",
        "gsm8k",
        "HeRL without a part of it",
        make_arms("ppo", "herl", no_bonus={"bonus": "none"}, extra_samples={"guidance": "none", "bonus": "none"}),
    ),
    *(
        Part(
            f"bonus-{task}",
            task,
            "The bonus where only the outcome pays, with two revisions to each measured draft",
            make_arms("ppo", "herl", **BONUSES),
            settings={"rubric": f"{task}-sparse", "revisions_per_draft": 2},
            folder=f"bonus-{task}",
        )
        for task in ("humaneval", "gsm8k")
    ),
    Part("sampled-gsm8k", "gsm8k", "Sampled instead of greedy responses", GENTLER, samples=2),
    *_on_each("sampled", "Sampled instead of greedy responses", BOTH, TASKS[1:], samples=2),
    *(
        _in_other_world(
            f"depth-{share}",
            f"A policy that saw the misconception in {share} % of the plain demonstrations",
            "gsm8k",
            f"planted_share={share / 100} {SHORT}",
        )
        for share in (50, 70, 85)
    ),
    _in_other_world(
        "followed",
        "A policy that was taught to keep its draft where guidance is another problem's",
        "gsm8k",
        f"off_topic=0.2 {SHORT}",
    ),
)
"""In the order in which they are run: what others build upon comes first."""


def estimate_minutes(part: Part, done: set[tuple[str, str, str, int]]) -> float:
    """CPU minutes of what is not done yet by earlier parts; adds its own runs to `done`."""
    if part.samples:
        return (1 + len(part.arms) * len(part.seeds)) * part.samples * EVALUATION * 1.5
    new = [run for run in part.list_runs() if run not in done]
    done.update(new)
    evaluations = sum(7 if part.is_watched(arm) else 2 for _, _, arm, _ in new) * EVALUATION
    minutes = len(new) * (MINUTES[part.task] - 2 * EVALUATION) * part.budget / 100_000 + evaluations
    return minutes + PROBE * len(part.cells) + (POLICY if part.policy else 0.0)
