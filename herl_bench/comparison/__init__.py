"""The statistics room: what can be concluded from finished runs, or from sets of answers, and in which words.

analyse         reads in order: what becomes of what
schema          a finished comparison, as data
finished_runs, run_records, answer_files, inspect_logs, answer_sets, arms     what is compared
fairness        may it be compared?
outcomes, curves, arm_scores, contrasts       the numbers, by the formulas of `statistics`
verdict, notes, tables                        the words, and what is shown
"""
