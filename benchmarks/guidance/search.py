"""Which form of hindsight does a real model follow? Draft, then revise the same failures in many forms, and compare
each with sampling anew at the same temperature.

    python benchmarks/guidance/search.py --model DIR --data DIR --store FILE.jsonl --draft 1
    python benchmarks/guidance/search.py … --half choose --arms plain@0.7,with_draft:evidence@0.7 --failures 40
    python benchmarks/guidance/search.py … --summary benchmarks/guidance/results/NAME.json

Every answer is appended to --store as soon as its batch is judged; killed at any moment, the same command goes on. An
arm is FORM[:LEVEL[:other]]@TEMPERATURE[xSAMPLES]: a form of `forms.py`, a hint level, `other` for the words that were
said of another problem's draft, and how many revisions each failure gets. Problems are split in two halves by a hash of
their ids: forms are chosen on one, and what was chosen is confirmed on the other.

Left out: training. A form that repairs no more than sampling anew does cannot help there; one that does may.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

from forms import FORMS, WORDLESS, ask_for_revision
from summary import sum_up, write_table

from herl_bench import Example, Verdict
from herl_bench.conversation import write_as_text
from herl_bench.evaluation.probe_answers import DRAFT, Asker, Question, split_batches
from herl_bench.experiment.resolve import find_environment, open_sandbox
from herl_bench.plugins import load_host
from herl_bench.policy.answerer import ResolvedSampling
from herl_bench.saving import write_whole
from herl_bench.types import Environment, HintLevel

HALVES = ("choose", "confirm")
ARM = re.compile(
    r"(?P<form>\w+)(?::(?P<level>criteria|evidence|reference))?(?P<other>:other)?@(?P<t>[\d.]+)(?:x(?P<n>\d+))?"
)


@dataclass(frozen=True)
class Arm:
    form: str
    level: HintLevel = "evidence"
    other: bool = False
    temperature: float = 1.0
    samples: int = 1

    @property
    def name(self) -> str:
        level = "" if self.form in WORDLESS else f":{self.level}"
        return f"{self.form}{level}{':other' if self.other else ''}@{self.temperature:g}"


def parse_arm(text: str) -> Arm:
    found = ARM.fullmatch(text)
    if found is None or found["form"] not in FORMS:
        raise SystemExit(
            f"arm {text!r}: give FORM[:LEVEL[:other]]@TEMPERATURE[xSAMPLES], FORM one of {', '.join(FORMS)}"
        )
    level: Any = found["level"] or "evidence"
    return Arm(found["form"], level, bool(found["other"]), float(found["t"]), int(found["n"] or 1))


def find_half(example_id: str) -> str:
    return HALVES[hashlib.sha256(f"guidance/{example_id}".encode()).digest()[0] % 2]


# ---------------------------------------------------------------------------------------------------------------- store
@dataclass
class Store:
    """Judged answers by key, and the commands that asked for them, in a JSONL file that only grows. A line that a kill
    cut short is left out."""

    path: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.path.is_file():
            text = self.path.read_text(encoding="utf-8")
            if text and not text.endswith("\n"):
                text = text[: text.rfind("\n") + 1]
                self.path.write_text(text, encoding="utf-8")
            lines = [json.loads(line) for line in text.splitlines()]
            self.rows = {line["key"]: line for line in lines if "key" in line}
            self.commands = list(dict.fromkeys(line["command"] for line in lines if "command" in line))

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        self._append(rows)
        self.rows |= {row["key"]: row for row in rows}

    def add_command(self, command: str) -> None:
        if command not in self.commands:
            self._append([{"command": command}])
            self.commands.append(command)

    def _append(self, lines: Iterable[dict[str, Any]]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


# --------------------------------------------------------------------------------------------------------------- asking
@dataclass
class Study:
    asker: Asker
    store: Store
    rows: int

    def write(self, questions: Sequence[Question]) -> None:
        """Sample and judge what the store does not hold, in batches of like length and one temperature."""
        missing = [question for question in questions if question.key not in self.store.rows]
        missing.sort(key=lambda question: (question.temperature, len(write_as_text(question.prompt)), question.key))
        for batch in split_batches(missing, self.rows):
            began = time.perf_counter()
            rows = [
                {**record, "half": find_half(record["id"]), "prompt_tokens": record["read"]}
                for record in self.asker.answer(batch)
            ]
            self.store.add(rows)
            seconds, tokens = time.perf_counter() - began, sum(row["tokens"] for row in rows)
            read, done = sum(row["prompt_tokens"] for row in rows), len(self.store.rows)
            print(f"{done} answers; {len(rows)} in {seconds:.0f} s, {tokens} written, {read} read", flush=True)


def draft_requests(examples: Sequence[Example], samples: int, temperature: float) -> list[Question]:
    return [Question(f"{e.id}#{k}", DRAFT, e, e.prompt, temperature) for k in range(samples) for e in examples]


def list_failures(store: Store, half: str) -> list[dict[str, Any]]:
    """Decided drafts below full reward, in an order that has nothing to do with what they are."""
    drafts = [r for r in store.rows.values() if r["arm"] == "draft" and r["half"] == half and r["reward"] is not None]
    failed = [r for r in drafts if r["reward"] < 1]
    return sorted(failed, key=lambda r: (r["key"].rpartition("#")[2], hashlib.sha256(r["key"].encode()).digest()))


def revise_requests(
    failures: Sequence[dict[str, Any]], arms: Sequence[Arm], examples: Mapping[str, Example], environment: Environment
) -> list[Question]:
    def read(row: dict[str, Any]) -> tuple[Example, str, list[Verdict]]:
        return examples[row["id"]], row["text"], [Verdict(*each) for each in row["verdicts"]]

    requests = []
    for i, row in enumerate(failures):
        others = [other for other in (*failures[i + 1 :], *failures[:i]) if other["id"] != row["id"]]
        for arm in arms:
            other = read(others[0]) if arm.other else None
            prompt = ask_for_revision(arm.form, environment, *read(row), arm.level, other)
            if prompt is not None:
                keys = [f"{row['key']}|{arm.name}#{k}" for k in range(arm.samples)]
                asked = (arm.name, examples[row["id"]], prompt, arm.temperature, row["key"])
                requests += [Question(key, *asked) for key in keys]
    return requests


def keep_better_half(store: Store, failures: Sequence[dict[str, Any]], arms: Sequence[Arm]) -> list[Arm]:
    """By mean reward, which is less noisy than the share repaired. Sampling anew always goes on."""
    means = {arm: fmean(r["reward"] or 0.0 for r in find_revisions(store, failures, arm)) for arm in arms}
    for arm in sorted(arms, key=lambda a: -means[a]):
        print(f"{means[arm]:.3f} {arm.name}", flush=True)
    tried = sorted((arm for arm in arms if arm.form != "plain"), key=lambda arm: -means[arm])
    return [*(arm for arm in arms if arm.form == "plain"), *tried[: (len(tried) + 1) // 2]]


def find_revisions(store: Store, failures: Sequence[dict[str, Any]], arm: Arm) -> list[dict[str, Any]]:
    keys = (f"{row['key']}|{arm.name}#{k}" for row in failures for k in range(arm.samples))
    return [store.rows[key] for key in keys if key in store.rows]


# ------------------------------------------------------------------------------------------------------------------ run
def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="checkpoint folder of a chat model")
    parser.add_argument("--task", default="humaneval")
    parser.add_argument("--data", default=os.environ.get("HERL_BENCH_DATA"), help="folder with the published files")
    parser.add_argument("--store", required=True, type=Path, help="JSONL of all answers; goes on where it ended")
    parser.add_argument("--half", choices=HALVES, action="append", help="which problems; both without it")
    parser.add_argument("--problems", type=int, help="no more of each half than this")
    parser.add_argument("--draft", type=int, default=0, metavar="N", help="draft each problem N times")
    parser.add_argument("--draft_temperature", type=float, default=1.0)
    parser.add_argument("--arms", default="", help="comma-separated; see above")
    parser.add_argument("--failures", type=int, nargs="*", help="revise no more of each half than this, in rounds")
    parser.add_argument("--halve", action="store_true", help="after each round the better half of the arms goes on")
    parser.add_argument("--max_new_tokens", type=int, default=224)
    parser.add_argument("--rows", type=int, default=96, help="answers written at once")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--summary", type=Path, help="sample nothing; write what the store holds to this JSON file")
    parser.add_argument("--show", action="store_true", help="print one prompt of each arm and stop")
    return parser.parse_args()


def main() -> None:
    asked = parse_arguments()
    host = load_host()
    task = host.get("task", asked.task)
    environment = find_environment(host, task)
    halves = asked.half or HALVES
    known = {e.id: e for e in task.read(Path(asked.data), "train")}
    order = sorted(known, key=lambda name: hashlib.sha256(name.encode()).digest())
    chosen = [known[i] for half in halves for i in [i for i in order if find_half(i) == half][: asked.problems]]
    store, arms = Store(asked.store), [parse_arm(text) for text in asked.arms.split(",") if text]
    if asked.show:
        for request in revise_requests(list_failures(store, halves[0])[:2], arms, known, environment)[: len(arms)]:
            print(f"=== {request.arm}\n{write_as_text(request.prompt)}")
        return
    if asked.summary:
        summarise(asked, store, lambda name, text: task.extract(known[name], text))
        return
    store.add_command(describe_command())
    policy = load_chat_policy(asked.model, asked.device, asked.dtype)
    with open_sandbox(host, task) as sandbox:
        sampling = ResolvedSampling(asked.max_new_tokens, instruction=task.instruction)
        asker = Asker(policy, replace(environment, sandbox=sandbox), sampling, truncation=None)
        study = Study(asker, store, asked.rows)
        if asked.draft:
            study.write(draft_requests(chosen, asked.draft, asked.draft_temperature))
        for half in halves:
            for count in asked.failures or [None]:
                failures = list_failures(store, half)[:count]
                study.write(revise_requests(failures, arms, known, environment))
                if asked.halve:
                    arms = keep_better_half(store, failures, arms)


def describe_command() -> str:
    """What was asked for, with folders by their names: a command for any machine."""
    given, places = sys.argv[1:], {"--model": "", "--store": "", "--data": "DIR"}
    for flag, name in places.items():
        if flag in given:
            place = given.index(flag) + 1
            given[place] = name or Path(given[place]).name
    return shlex.join(["python", "benchmarks/guidance/search.py", *given])


def summarise(asked: argparse.Namespace, store: Store, extract: Callable[[str, str], str | None]) -> None:
    found = sum_up(store.rows, extract)
    head = {
        "commands": store.commands,
        "model": Path(asked.model).name,
        "task": asked.task,
        "max_new_tokens": asked.max_new_tokens,
        "dtype": asked.dtype,
        "versions": {name: version(name) for name in ("herl-bench", "torch", "transformers")},
    }
    write_whole(asked.summary, json.dumps({**head, "halves": found}, indent=1) + "\n")
    for half in found:
        print(f"{half}: {json.dumps(found[half]['drafts'])}\n{write_table(found[half]['arms'])}")


def load_chat_policy(place: str, device: str, dtype: str) -> Any:
    from herl_bench.policy.load import load_policy
    from herl_bench.policy.placement import choose_placement

    policy = load_policy(place, placement=choose_placement(device, dtype))
    if not policy.chat:
        raise SystemExit(f"{place} has no chat template: forms are conversations")
    return policy


if __name__ == "__main__":
    main()
