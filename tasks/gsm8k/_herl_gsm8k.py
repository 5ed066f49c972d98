"""What herl_gsm8k.yaml refers to."""

from herl_bench.evaluate.lm_eval_tasks import documents, judged

custom_dataset = documents("gsm8k", shots=True)
process_results = judged("gsm8k")
