"""Judge a step's responses: what a sandbox must run is judged while other responses are still being written, the rest
in one batch at the end.

A program waits for its processes, not for Python, so threads are enough to keep the sandbox at work beside the policy.
Responses that no sandbox runs stay in the caller's thread and in one batch: there is nothing to wait for, and a check
of somebody else's may rely on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from herl_bench.rubric import judge
from herl_bench.types import Environment, Example, Judgement


class Judging:
    """`begin` may be called for a response as soon as it is known; `finish` gives the judgements of all. Equal
    responses are judged once."""

    def __init__(self, environment: Environment):
        rubric, metrics, sandbox = environment.rubric, environment.metrics, environment.sandbox
        self._judge = partial(judge, rubric=rubric, metrics=metrics, sandbox=sandbox, think=environment.think)
        self._begun: dict[tuple[str, str], Future[list[Judgement]]] = {}
        workers = getattr(sandbox, "workers", 1)
        self._threads = None if sandbox is None else ThreadPoolExecutor(workers, thread_name_prefix="judging")

    def begin(self, example: Example, response: str) -> None:
        if self._threads is not None and (example.id, response) not in self._begun:
            self._begun[example.id, response] = self._threads.submit(self._judge, [example], [response])

    def finish(self, examples: Sequence[Example], responses: Sequence[str]) -> list[Judgement]:
        """One judgement per pair, in order, whether it was begun or not."""
        if self._threads is None:
            return self._judge(examples, responses)
        for example, response in zip(examples, responses, strict=True):
            self.begin(example, response)
        judgements = [self._begun[e.id, r].result()[0] for e, r in zip(examples, responses, strict=True)]
        self._begun.clear()
        return judgements
