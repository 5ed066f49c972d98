"""What runs inside the sandbox: tester, spawner and candidate. Standard library only, imported by a bare interpreter at
`/hb/inside`.

    host pool ─socket→ [bwrap: tester ─socket + SCM_RIGHTS→ spawner ─fork→ candidate]

The tester (`tester.py`) holds the tests and the verdict. The spawner (`spawner.py`) is a small warm process that forks
one confined candidate (`candidate.py`) per run and never sees its code. Tester and candidate speak length-prefixed JSON
(`frames.py`, `codec.py`); a script's input and output are files of the tester's (`stdio.py`).
"""
