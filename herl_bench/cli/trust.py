"""`--trust_remote_code`, for every command that loads a model."""

import click

TRUST = "HERL_BENCH_TRUST_REMOTE_CODE"
trust_option = click.option(
    "--trust_remote_code",
    is_flag=True,
    envvar=TRUST,
    help="Run the Python code that the model's folder or hub repository brings along.",
)
