from herl_bench import errors


def test_the_drawn_exception_tree_is_the_real_one():
    """Name, indent and exit code of each line of the docstring against the classes."""
    lines = [line for line in errors.__doc__.splitlines() if line.startswith("    ")]
    drawn = {}
    for line in lines:
        name = next(word for word in line.split() if word[0].isupper())
        code = next((int(word) for word in line.replace("exit code", "").split() if word.isdigit()), None)
        drawn[name] = (line.index(name), code)
    real = {n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, Exception)}
    assert set(drawn) == set(real)
    for name, (indent, code) in drawn.items():
        assert real[name].exit_code == code
        depth = len(real[name].__mro__) - len(errors.HerlBenchError.__mro__)
        assert indent == 4 + 4 * depth, name


def test_an_unknown_name_suggests_near_ones_or_lists_all():
    assert str(errors.UnknownName("task", "gsmk8", ["gsm8k", "bbh"])) == "no task named 'gsmk8': did you mean gsm8k?"
    assert str(errors.UnknownName("task", "zzz", ["gsm8k", "bbh"])) == "no task named 'zzz': choose from bbh, gsm8k"
    assert str(errors.UnknownName("task", "zzz", [])) == "no task named 'zzz': choose from (none installed)"
