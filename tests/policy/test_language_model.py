"""A chat template is a stranger's program: rendering it ends."""

import pytest

from herl_bench.errors import UsageError
from herl_bench.policy.load import load_policy
from herl_bench.testing import tiny_checkpoint

TWO_LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


def chat(tmp_path, template):
    policy = load_policy(tiny_checkpoint(tmp_path / "model", chat_template=True))
    policy.tokenizer.chat_template = template
    return policy


@pytest.mark.parametrize(
    "template",
    [
        TWO_LOOPS,
        "{{ 'a' * 9999999999 }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
        "{% if '7' in messages[-1]['content'] %}" + TWO_LOOPS + "{% endif %}",
        "{{ messages[0].nope.nope }}",
        "{{ raise_exception('no') }}",
        "{% endfor %}",
    ],
)
def test_a_models_chat_template_is_bounded(tmp_path, monkeypatch, template):
    monkeypatch.setattr("herl_bench.policy.language_model.CHAT_SECONDS", 1.0)
    with pytest.raises(UsageError, match="chat template"):
        chat(tmp_path, template).encode(["3 + 4 = 7"], "")
