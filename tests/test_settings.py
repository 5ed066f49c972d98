import dataclasses

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from herl_bench.errors import UsageError
from herl_bench.settings import Settings, build, parse_settings, read_request, read_yaml
from herl_bench.training.config import HINDSIGHT_OFF, HeRLConfig, PPOConfig


def from_set(kind, *assignments):
    run, method, origin = parse_settings({}, assignments, None)
    return build(kind, run if kind is Settings else method, origin)


def test_set_reads_yaml_values():
    config = from_set(
        HeRLConfig,
        "learning_rate=3e-5",
        "num_generations=4",
        "hindsight=false",
        "bonus=none",
        "target_kl=null",
        "revise-epsilon=0",
    )
    assert (config.learning_rate, config.num_generations, config.hindsight) == (3e-5, 4, False)
    assert (config.bonus, config.target_kl, config.revise_epsilon) == ("none", None, 0.0)


def test_set_sends_each_key_where_it_belongs():
    run, method, _ = parse_settings({}, ["rubric=haiku", "gamma=0.9"], None)
    assert (run, method) == ({"rubric": "haiku"}, {"gamma": 0.9})


def test_a_value_may_hold_an_equals_sign_and_names_stay_text():
    assert from_set(Settings, "rubric=a=b").rubric == "a=b"
    assert from_set(Settings, "rubric=007").rubric in ("7", "007")
    assert from_set(Settings, "task=1").task == "1"


@pytest.mark.parametrize("assignment", ["gamma", "=3", " =3", ""])
def test_a_malformed_set_says_how(assignment):
    with pytest.raises(UsageError, match=r"write --set KEY=VALUE"):
        parse_settings({}, [assignment], None)


@pytest.mark.parametrize(
    ("kind", "assignment", "message"),
    [
        (HeRLConfig, "learning_rat=1", r"--set no setting named 'learning_rat': did you mean learning_rate"),
        (PPOConfig, "hindsight=false", r"--set no setting named 'hindsight'"),
        (
            HeRLConfig,
            "bonus=big",
            r"--set bonus=big: input should be 'critic', 'measured', 'none', 'constant' or 'shuffled'",
        ),
        (HeRLConfig, "gamma=1.5", r"--set gamma=1\.5: input should be less than or equal to 1"),
        (HeRLConfig, "learning_rate=.nan", r"--set learning_rate=nan: "),
        (HeRLConfig, "num_generations=1.5", r"--set num_generations=1\.5: "),
        (HeRLConfig, "num_generations=", r"--set num_generations=None: "),
        (HeRLConfig, "hindsight=[1, 2]", r"--set hindsight=\[1, 2\]: "),
        (Settings, "seed=-1", r"--set seed=-1: input should be greater than or equal to 0"),
        (Settings, "eval_items=0", r"--set eval_items=0: "),
        (Settings, "difficulty=2", r"--set difficulty=2: "),
        (Settings, "budget=-5", r"budget.*-5"),
        (Settings, "budget=lots", r"--budget lots: write a positive number"),
    ],
)
def test_wrong_settings_are_one_line_with_origin_key_and_choices(kind, assignment, message):
    with pytest.raises(UsageError, match=message) as caught:
        from_set(kind, assignment)
    assert "\n" not in str(caught.value)


def test_file_then_set_then_flags(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("task: gsm8k\nbudget: 5k\nseed: 1\nset: {gamma: 0.5, lam: 0.5}\n")
    run, method, origin = parse_settings({"seed": 3, "model": None}, ["gamma=0.7", "budget=6k"], str(path))
    assert (run, method) == ({"task": "gsm8k", "budget": "6k", "seed": 3}, {"gamma": 0.7, "lam": 0.5})
    assert build(Settings, run, origin) == Settings(task="gsm8k", budget=6000, seed=3)
    assert (origin["task"], origin["lam"], origin["gamma"], origin["seed"]) == (
        f"{path}: ",
        f"{path}: set.",
        "--set ",
        "--",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("task: [", r"c\.yaml: not valid YAML: line 1, column 8"),
        ("- a", r"c\.yaml: write one `key: value` per line; found list"),
        ("", r"c\.yaml: write one `key: value` per line; found NoneType"),
        ("set: 3", r"c\.yaml: set: write a mapping"),
        ("taks: gsm8k", r"c\.yaml: no setting named 'taks': did you mean task"),
        ("set: {gama: 1}", r"c\.yaml: set\.no setting named 'gama': did you mean gamma"),
        ("set: {gamma: 7}", r"c\.yaml: set\.gamma=7: input should be less than"),
        (b"task: \xff", r"c\.yaml: cannot read the configuration: not UTF-8 text"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def configure():
        run, method, origin = parse_settings({}, [], str(path))
        return build(Settings, run, origin), build(HeRLConfig, method, origin)

    with pytest.raises(UsageError, match=message):
        configure()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.yaml: cannot read the configuration: No such file"):
        read_yaml(str(tmp_path / "gone.yaml"))


@given(st.data())
def test_settings_survive_config_yaml(data):
    """What a run writes into config.yaml gives the same settings again."""
    config = HeRLConfig(
        learning_rate=data.draw(st.floats(0, 1)),
        target_kl=data.draw(st.none() | st.floats(1e-9, 1e9)),
        bonus=data.draw(st.sampled_from(["critic", "measured", "none"])),
        hindsight=data.draw(st.booleans()),
    )
    text = yaml.safe_dump(dataclasses.asdict(config))
    assert build(HeRLConfig, yaml.safe_load(text), {}) == config


@pytest.mark.parametrize("kind", [Settings, PPOConfig, HeRLConfig])
def test_every_setting_is_documented_and_its_default_is_allowed(kind):
    for field in dataclasses.fields(kind):
        assert field.metadata["help"], field.name
    assert build(kind, dataclasses.asdict(kind()), {}) == kind()


def test_hindsight_off_names_real_settings():
    assert set(HINDSIGHT_OFF) <= {f.name for f in dataclasses.fields(HeRLConfig)}
    assert not set(HINDSIGHT_OFF) & {f.name for f in dataclasses.fields(PPOConfig)}


def test_a_preset_sets_what_is_not_given_and_is_known_by_name():
    paper = build(HeRLConfig, {"preset": "paper", "num_generations": 4}, {})
    assert (paper.preset, paper.advantage, paper.num_generations, paper.bonus_signed) == ("paper", "group", 4, True)
    assert build(HeRLConfig, {}, {}) == build(HeRLConfig, {"preset": "article"}, {}) == HeRLConfig()
    assert build(HeRLConfig, dataclasses.asdict(paper), {}) == paper  # a run's own config.yaml
    with pytest.raises(UsageError, match="--set preset=papr: input should be 'article' or 'paper'"):
        build(HeRLConfig, {"preset": "papr"}, {"preset": "--set "})
    for values in HeRLConfig.presets.values():
        assert set(values) <= {f.name for f in dataclasses.fields(HeRLConfig)}


def test_asking_a_critic_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="revise=critic needs a critic to ask, but bonus=measured"):
        build(HeRLConfig, {"revise": "critic", "bonus": "measured"}, {})


def test_a_setting_of_an_older_version_is_passed_over_in_a_run_s_file_and_refused_elsewhere(caplog, tmp_path):
    """A run's own config.yaml names every setting that there was."""
    file = tmp_path / "config.yaml"
    file.write_text("task: gsm8k\nset: {bonus_learning_rate: 0.0003, bonus_epochs: 2, bonus_window: 5}\n")
    request = read_request(str(file))
    assert build(HeRLConfig, request.method, request.origin) == HeRLConfig(bonus_window=5)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"warning: {file}: set.bonus_learning_rate, bonus_epochs: passed over: the bonus critic is")
    for origin in ("", "--set ", "grid.yaml: arms: a: "):
        with pytest.raises(UsageError, match=rf"^{origin}bonus_epochs is no longer a setting: .*: leave"):
            build(HeRLConfig, {"bonus_epochs": 2}, {"bonus_epochs": origin})
