"""What herl_humaneval.yaml refers to."""

from herl_bench.evaluate.bridge import documents, judged

custom_dataset = documents("humaneval")
process_results = judged("humaneval")
