"""What herl_gsm8k.yaml refers to."""

from herl_bench.evaluation.lm_eval_tasks import judge_results, offer_documents

custom_dataset = offer_documents("gsm8k", shots=True)
process_results = judge_results("gsm8k")
