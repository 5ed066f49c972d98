"""What herl_humaneval.yaml refers to."""

from herl_bench.evaluation.lm_eval_tasks import judge_results, offer_documents

custom_dataset = offer_documents("humaneval")
process_results = judge_results("humaneval")
