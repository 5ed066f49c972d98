"""`--model openai`: a real server with a tiny checkpoint, started and killed here, and small servers that misbehave."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import replace
from email.utils import formatdate
from itertools import islice

import pytest
from helpers.servers import command, reply, server

from herl_bench.cli import main
from herl_bench.data.sources import EVAL_SEED
from herl_bench.errors import ServerError, UsageError
from herl_bench.plugins import load_host
from herl_bench.policy.answerer import ResolvedSampling
from herl_bench.policy.load import load_policy
from herl_bench.policy.server import open_server
from herl_bench.testing import tiny_checkpoint

TASK = load_host().get("task", "gsm8k")
ITEMS = list(islice(TASK.world.examples("eval", EVAL_SEED, TASK.world.difficulty), 40))
HOW = ResolvedSampling(stop=["Question:"], temperature=0.0, max_new_tokens=4)


# -------------------------------------------------------------------------------------------------------- a real server
def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def transformers_serve(folder, port, log):
    program = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", str(folder)]
    with open(log, "ab") as out:
        process = subprocess.Popen(
            [*program, "--port", str(port), "--host", "127.0.0.1", "--device", "cpu"], stdout=out, stderr=out
        )
    try:
        for _ in range(6000):  # five minutes
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("chat"), chat_template=True)


def answered(log):
    return len(re.findall(rb'POST /v1/\S+ HTTP/1.1" 200', log.read_bytes()))


@pytest.mark.long
def test_a_server_that_is_killed_midway_is_asked_nothing_twice(tmp_path, chat_model, cli, capsys):
    port, log = free_port(), tmp_path / "log"
    base = f"http://127.0.0.1:{port}/v1"
    how = f"base_url={base},model={chat_model},concurrency=1,retries=1,backoff=0.01"
    args = [
        "eval",
        "--tasks",
        "gsm8k",
        "--model",
        "openai",
        "--model_args",
        how,
        "--data",
        "synthetic",
        "--limit",
        "40",
        "--max_new_tokens",
        "4",
        "--output_path",
        tmp_path / "out",
        "--log_samples",
        "--format",
        "json",
    ]
    with transformers_serve(chat_model, port, log) as process:

        def kill_after_some():
            while answered(log) < 6:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)

        killer = threading.Thread(target=kill_after_some)
        killer.start()
        stopped = cli(*args)
        killer.join()
    assert (stopped.returncode, stopped.stdout, stopped.stderr.count("\n")) == (1, "", 1)
    assert f"{base} is gone" in stopped.stderr
    (journal,) = (tmp_path / "out").rglob("responses_*.part")
    kept = len(journal.read_text().splitlines())
    assert 5 <= kept < 40
    log.write_bytes(b"")
    with transformers_serve(chat_model, port, log):
        done = cli(*args)
        assert done.returncode == 0, done.stderr
        assert answered(log) == 40 - kept
        # What the server writes is what the same checkpoint writes here; as a base model it is asked without the chat
        # template.
        policy, prompts = load_policy(chat_model), [e.prompt for e in ITEMS[:3]]
        base_model = open_server({"base_url": base, "model": str(chat_model), "api": "completions"})
        assert [a.finish for a in base_model.answer(prompts, seeds=[0, 1, 2], sampling=HOW)] == ["length"] * 3
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    texts = [row["resps"][0][0] for row in rows if "herl_bench" in row]
    local = policy.answer(
        [e.prompt for e in ITEMS], seeds=range(40), sampling=replace(HOW, instruction=TASK.instruction, stop=[])
    )
    assert texts == [a.text for a in local]
    assert not list((tmp_path / "out").rglob("*.part"))


# ----------------------------------------------------------------------------------------------- servers that misbehave
GARBAGE = {
    "<html>busy</html>": "not JSON: <html>busy</html>",
    "": "not JSON: an empty reply",
    "{}": "no choices in the reply: {}",
    "[1]": "no choices in the reply: [1]",
    '{"choices": []}': "no choices",
    '{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}': "no text",
    '{"choices": [{"message": {"content": [1]}}]}': "no text",
}
FAILURES = [
    *(((200, {}, body), words) for body, words in GARBAGE.items()),
    ((500, {}, "boom"), "HTTP 500 boom, 3 tries"),
    ((429, {"Retry-After": "0.01"}, "slow down"), "HTTP 429 slow down, 3 tries"),
    ((400, {}, "prompt too long"), "HTTP 400 prompt too long"),
    (None, "RemoteProtocolError"),
]


def test_garbage_is_an_error_that_counts_as_wrong_with_its_number_beside(capsys, tmp_path):
    kinds = {e.prompt: failure for e, failure in zip(ITEMS, FAILURES, strict=False)}
    right = {e.prompt: e.target for e in ITEMS}
    with server(lambda prompt, n: kinds[prompt][0] if prompt in kinds else reply(right[prompt])) as (url, _):
        code, out, err = command(
            capsys, url, "--limit", "40", "--output_path", str(tmp_path), "--log_samples", "--format", "json"
        )
    assert code == 0, err
    got = json.loads(out)["tasks"]["gsm8k"]
    bad = len(FAILURES)
    assert (got["errors"], got["responses"], got["empty"], got["unparsed"]) == (bad, 40, 0, 0)
    assert got["undecided"] == bad
    assert all((m["value"], m["items"], m["undecided"]) == (1 - bad / 40, 40, bad) for m in got["metrics"].values())
    assert f"{bad / 40:.1%} of the responses are missing, or with something that could not be judged" in err
    (samples,) = tmp_path.rglob("samples_*.jsonl")
    rows = [row for row in map(json.loads, samples.read_text().splitlines()) if "herl_bench" in row]
    for row, (_, words) in zip(rows, FAILURES, strict=False):
        assert words in row["herl_bench"]["responses"][0]["error"]
    with pytest.raises(SystemExit):
        main(["score", str(samples), "--task", "gsm8k", "--format", "json"])
    assert json.loads(capsys.readouterr().out)["errors"] == bad


@pytest.mark.parametrize(
    "trouble", [(500, {}, ""), (503, {"Retry-After": formatdate(0, usegmt=True)}, ""), (200, {}, "no"), None]
)
def test_what_passes_is_asked_again(trouble):
    with server(lambda prompt, n: trouble if n < 3 else reply("4")) as (url, seen):
        model = open_server({"base_url": url, "model": "M", "retries": 2, "backoff": 0.001})
        answers = model.answer(["a", "b"], seeds=[0, 1], sampling=HOW)
    assert ([a.text for a in answers], [a.tokens for a in answers], len(seen)) == (["4", "4"], [2, 2], 6)


def test_a_request_says_what_was_asked_for():
    with server(lambda prompt, n: reply("4 Question: 5")) as (url, seen):
        model = open_server({"base_url": url, "model": "M"})
        (answer,) = model.answer(
            ["a"], seeds=[7], sampling=replace(HOW, instruction="Be brief.", stop=list("123456 "), temperature=0.5)
        )
        model.answer(["b"], seeds=[7], sampling=replace(HOW, stop=[]))
    assert (answer.text, answer.finish) == ("", "stop")  # all stop strings hold, though a request carries four at most
    assert seen[0][3] == {
        "model": "M",
        "max_tokens": 4,
        "temperature": 0.5,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"}],
        "stop": ["1", "2", "3", "4"],
        "seed": 7,
    }
    assert {"seed", "stop"}.isdisjoint(seen[1][3])


def test_it_waits_as_long_as_it_is_told_to():
    with server(lambda prompt, n: (429, {"Retry-After": "0.3"}, "") if n == 1 else reply("4")) as (url, seen):
        open_server({"base_url": url, "model": "M", "backoff": 0}).answer(["a"], seeds=[0], sampling=HOW)
    assert seen[1][1] - seen[0][1] >= 0.3


def test_as_many_at_once_as_allowed_and_no_more():
    together, now, most = threading.Barrier(3, timeout=30), [0], [0]
    lock = threading.Lock()

    def respond(prompt, n):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait()  # three requests must be here at the same time
        with lock:
            now[0] -= 1
        return reply(prompt)

    with server(respond) as (url, _):
        answers = open_server({"base_url": url, "model": "M", "concurrency": 3}).answer(
            list("abcdefghi"), seeds=range(9), sampling=HOW
        )
    assert [a.text for a in answers] == list("abcdefghi")
    assert most[0] == 3


def test_the_rate_limit_is_kept():
    with server(lambda prompt, n: reply("4")) as (url, seen):
        open_server({"base_url": url, "model": "M", "requests_per_minute": 600}).answer(
            list("abcd"), seeds=range(4), sampling=HOW
        )
    at = sorted(t for _, t, *_ in seen)
    assert at[-1] - at[0] >= 0.27


def test_the_same_request_is_made_once_and_kept(tmp_path):
    args = {"model": "M", "cache": str(tmp_path / "cache.jsonl")}
    with server(lambda prompt, n: reply(f"{prompt}{n}")) as (url, seen):
        told = []
        first = open_server({"base_url": url, **args}).answer(["a", "a", "b"], [0, 1, 2], HOW, told.append)
        assert (told[0], sorted(told[1:])) == (0, [1, 2])  # equal prompts are asked once
        with open(args["cache"], "a") as file:
            file.write('{"key": "torn')
        told = []
        again = open_server({"base_url": url, **args}).answer(["b", "a", "c"], [0, 1, 2], HOW, told.append)
        assert told == [2, 1]
        third = open_server({"base_url": url, **args}).answer(["c"], seeds=[0], sampling=HOW)
    assert [a.text for a in first + again + third] == ["a1", "a1", "b1", "b1", "a1", "c1", "c1"]
    assert len(seen) == 3


def test_a_key_is_sent_and_written_nowhere(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "s3cret")
    with server(lambda prompt, n: reply("#### 4", "length")) as (url, seen):
        args = ["--limit", "2", "--output_path", str(tmp_path), "--log_samples"]
        code, out, err = command(capsys, url, *args, more=",api_key_env=SOME_KEY")
    assert code == 0
    assert {headers["Authorization"] for _, _, headers, _ in seen} == {"Bearer s3cret"}
    assert "s3cret" not in out + err + "".join(p.read_text() for p in tmp_path.rglob("*.*") if p.is_file())
    assert "SOME_KEY" in next(tmp_path.rglob("results_*.json")).read_text()
    assert "100.0% of the responses are cut off" in err


def test_a_server_that_refuses_stops_the_evaluation_at_once(capsys):
    with server(lambda prompt, n: (401, {}, "no key")) as (url, seen):
        code, out, err = command(capsys, url, "--limit", "3", more=",concurrency=1")
    assert (code, out, err.count("\n"), len(seen)) == (1, "", 1, 1)
    assert "HTTP 401 no key" in err


def test_a_server_that_asks_for_a_long_pause_stops_the_evaluation(capsys):
    with server(lambda prompt, n: (429, {"Retry-After": "3600"}, "quota")) as (url, _):
        code, out, err = command(capsys, url, "--limit", "2")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "takes no requests for 3,600 seconds (HTTP 429 quota)" in err


def test_a_server_that_answers_nothing_usable_stops_the_evaluation(capsys, tmp_path):
    with server(lambda prompt, n: (500, {}, "boom")) as (url, _):
        code, out, err = command(capsys, url, "--limit", "20", "--output_path", str(tmp_path))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "not one of 20 requests was answered: HTTP 500 boom" in err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("base_url=http://h/v1", "needs --model_args model="),
        ("model=M", "needs --model_args base_url="),
        ("base_url=h:1,model=M", "begin it with http"),
        ("base_url=http://h,model=M,concurency=2", "did you mean concurrency"),
        ("base_url=http://h,model=M,concurrency=0", "concurrency=0: input should be greater"),
        ("base_url=http://h,model=M,api=images", "api=images"),
        ("base_url=http://h,model", "write KEY=VALUE"),
        (
            f"base_url=http://h,model=M,cache={os.path.dirname(__file__)}",
            "cannot be used for a server's answers: Is a directory",
        ),
        (f"base_url=http://h,model=M,cache={__file__}", "not a file of answers"),
        ("base_url=http://h,model=M,api_key_env=NO_SUCH_VARIABLE", "is not set"),
    ],
)
def test_bad_arguments_are_one_line(capsys, given, message):
    with pytest.raises(SystemExit) as left:
        main(["eval", "--tasks", "gsm8k", "--model", "openai", "--model_args", given, "--data", "synthetic"])
    out, err = capsys.readouterr()
    assert (left.value.code, out, err.count("\n")) == (2, "", 1)
    assert message in err


# ----------------------------------------------------------------------------------------------- servers that mean harm
def packed(data):
    import gzip

    return gzip.compress(data)


HARM = {
    "deep": (b"[" * 200_000, {}, "JSON that is more than 100 levels deep"),
    "deep inside": (b'{"choices":' + b"[" * 500 + b"]" * 500 + b"}", {}, "levels deep"),
    "a long number": (b'{"usage": ' + b"9" * 5_000 + b"}", {}, "a number of more than 300 digits"),
    "no UTF-8": (b'{"choices":[{"message":{"content":"\xff"}}]}', {}, "not UTF-8"),
    "a bomb": (
        packed(b" " * (50 << 20)),
        {"Content-Encoding": "gzip"},
        "a reply in the encoding gzip, although none was asked for",
    ),
    "another bomb": (b"x", {"Content-Encoding": "br, gzip"}, "a reply in the encoding br, gzip"),
    "long": (b" " * (17 << 20), {}, "a reply of more than 16 MiB"),
    "controls": (b"\x1b]0;owned\x07\x1b[2J", {}, "␛]0;owned␇␛[2J"),
    "direction": ("\u202egnp".encode(), {}, "[U+202E]gnp"),
    "no object": (b'"x"', {}, "no choices"),
    "a list for words": (b'{"choices":[{"message":{"content":["a"]}}]}', {}, "no text"),
}
ODD = {
    "rot13": (None, {"Content-Type": "text/plain; charset=rot13"}),
    "idna": (None, {"Content-Type": "text/plain; charset=idna"}),
    "utf-7": (None, {"Content-Type": "text/plain; charset=utf-7"}),
    "how it ended": (b'{"choices":[{"message":{"content":"yes"},"finish_reason":{"a":[1]}}]}', {}),
    "how it ended, at length": (
        b'{"choices":[{"message":{"content":"yes"},"finish_reason":"' + b"x" * 90_000 + b'"}]}',
        {},
    ),
    "tokens below none": (b'{"choices":[{"message":{"content":"yes"}}],"usage":{"completion_tokens":-3}}', {}),
    "tokens that are true": (b'{"choices":[{"message":{"content":"yes"}}],"usage":{"completion_tokens":true}}', {}),
    "a lone surrogate": (b'{"choices":[{"message":{"content":"yes\\ud800"}}]}', {}),
}


def raw_server(replies):
    """Each request gets the next (head and) bytes of `replies`, slowly where a number of seconds stands between
    them."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listening:
            for parts in replies:
                connection, _ = listening.accept()
                with connection, suppress(OSError):
                    connection.recv(1 << 20)
                    for part in parts:
                        if isinstance(part, bytes):
                            connection.sendall(part)
                        else:
                            time.sleep(part)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(
                        1 << 16
                    ):  # until the other side has closed: a socket with unread bytes would be reset
                        pass

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


def head(headers, length):
    lines = {"Content-Type": "application/json", **headers, "Content-Length": str(length), "Connection": "close"}
    return b"HTTP/1.1 200 OK\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in lines.items()) + b"\r\n"


def asked(url, **more):
    made = open_server({"base_url": url, "model": "M", "retries": 0, "backoff": 0, **more})
    (answer,) = made.answer(["2 + 2?"], seeds=[1], sampling=HOW)
    return answer


@pytest.mark.parametrize("kind", HARM)
def test_a_harmful_reply_is_an_error_of_that_response(kind):
    body, headers, words = HARM[kind]
    answer = asked(raw_server([[head(headers, len(body)), body], [head({}, 2), b"{}"]]))
    assert answer.text == ""
    assert words in answer.error
    assert answer.error.isprintable()
    assert len(answer.error) < 400


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_reply_is_read_as_json_is(kind):
    body, headers = ODD[kind]
    body = body or reply("yes")[2].encode()
    answer = asked(raw_server([[head(headers, len(body)), body]]))
    assert answer.text.startswith("yes")
    assert len(answer.finish) <= 40
    assert answer.tokens in (0, 2)


@pytest.mark.parametrize("drip", [[b" ", 0.2] * 400, [0.5] * 200], ids=["byte by byte", "silence"])
def test_the_timeout_is_of_the_whole_answer(drip):
    began = time.monotonic()
    with pytest.raises(ServerError, match=r"is gone \(no whole answer within 1 seconds\)"):
        asked(raw_server([[head({}, 100_000), *drip]]), timeout=1)
    assert time.monotonic() - began < 40


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * (4 << 20),
        b"".join(b"X-%d: %s\r\n" % (i, b"a" * 900) for i in range(5_000)),
        os.urandom(4_000),
        b"HTTP/1.1 999 \r\n\r\n",
    ],
    ids=["a long header", "many headers", "noise", "status 999"],
)
def test_a_reply_that_is_no_http_is_an_error(begin):
    answer = asked(raw_server([[begin], [head({}, 2), b"{}"]]))
    assert answer.error
    assert answer.error.isprintable()


@pytest.mark.parametrize(
    "value", ["nan", "-5", "soon", "Mon, 01 Jan 0001 00:00:00 GMT", "1\xe9", "", "Fri, 99 Foo 2024"]
)
def test_a_pause_that_makes_no_sense_is_none(value):
    body = reply("yes")[2].encode()
    again = f"HTTP/1.1 429 X\r\nRetry-After: {value}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode(
        "latin-1"
    )
    assert asked(raw_server([[again], [head({}, len(body)), body]]), retries=1).text == "yes"


@pytest.mark.parametrize("value", ["inf", "1e300", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_pause_without_end_is_one_line(value):
    again = f"HTTP/1.1 429 X\r\nRetry-After: {value}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    with pytest.raises(ServerError, match="takes no requests for"):
        asked(raw_server([[again]]))


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://x:99999999/v1", "http://\0/v1"])
def test_an_address_that_is_none_is_one_line(url):
    with pytest.raises(UsageError, match="base_url="):
        open_server({"base_url": url, "model": "M"})


@pytest.mark.parametrize(
    "row",
    [
        '{"key": "a", "answer": {"text": 5, "finish": "", "tokens": 0, "dropped": 0, "error": ""}}',
        "[1]",
        '{"key": "a"}',
        "[" * 100_000,
    ],
)
def test_a_file_of_answers_that_is_none_is_one_line(tmp_path, row):
    (tmp_path / "cache").write_text(row + "\n")
    with pytest.raises(UsageError, match="not a file of answers that herl-bench wrote"):
        open_server({"base_url": "http://127.0.0.1:1/v1", "model": "M", "cache": str(tmp_path / "cache")})


def test_in_a_running_event_loop():
    async def inside():
        return open_server({"base_url": base, "model": "m"}).answer(
            ["a", "b"], seeds=[1, 2], sampling=replace(HOW, stop=())
        )

    with server(lambda prompt, n: reply(f"to {prompt}")) as (base, _):
        assert [answer.text for answer in asyncio.run(inside())] == ["to a", "to b"]
