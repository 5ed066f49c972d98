"""What runs inside the sandbox: tester, spawner and candidate. Standard library only, at `/hb/inside`.

    host pool ─socket→ [bwrap: tester ─socket + SCM_RIGHTS→ spawner ─fork→ candidate]

The tester (`tester.py`) holds the tests (`rewrite.py`, `recorder.py`, `report.py`) and asks the program (`program.py`,
over `channel.py`, `values.py` and `remote.py`). The spawner (`spawner.py`) is a small warm process that forks one
confined candidate (`candidate.py`) per run and never sees its code; what only the tester imports is not in its memory,
nor in a candidate's. Tester and candidate speak length-prefixed JSON (`protocol.py`, `frames.py`, `codec.py`); a
script's input and output are files of the tester's (`stdio.py`).
"""
