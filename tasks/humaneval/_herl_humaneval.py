"""What herl_humaneval.yaml refers to."""

from herl_bench.evaluate.lm_eval_tasks import documents, judged

custom_dataset = documents("humaneval")
process_results = judged("humaneval")
