"""The sandbox as an attack runner sees it: `run(code, test, entry, timeout) -> (verdict, info)`; the verdict starts
with pass, fail or timeout."""

from __future__ import annotations

from herl_bench.sandbox import Job, Limits, Sandbox


class Adapter:
    name = "herl-bench"

    def start(self) -> Adapter:
        self.sandbox = Sandbox(workers=1)
        return self

    def run(self, code: str, test: str, entry: str, timeout: float) -> tuple[str, str]:
        verdict = self.sandbox.check(Job(code, entry, {"tests": test}, Limits(wall_s=timeout, busy_s=1.0)))
        word = verdict.status if verdict.status in ("pass", "timeout") else f"fail:{verdict.status}"
        return word, verdict.detail or next((result.evidence for result in verdict.results if not result.passed), "")

    def close(self) -> None:
        self.sandbox.close()
