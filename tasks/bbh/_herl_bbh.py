"""What the herl_bbh files refer to. The worked examples before each question stand in the subtasks' own files."""

from collections.abc import Mapping
from typing import Any

from herl_bench_bbh.world import write_prompt

from herl_bench.evaluation.lm_eval_tasks import judge_results, offer_documents

custom_dataset = offer_documents("bbh")
process_results = judge_results("bbh")


def doc_to_text(doc: Mapping[str, Any]) -> str:
    """An item carries its prompt, a worked example its question alone."""
    return str(doc["prompt"]) if "prompt" in doc else write_prompt(doc["input"])
