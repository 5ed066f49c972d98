"""What herl_bbh.yaml refers to."""

from herl_bench.evaluate.bridge import documents, judged

custom_dataset = documents("bbh")
process_results = judged("bbh")
