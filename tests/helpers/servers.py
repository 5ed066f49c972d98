"""A small HTTP server that answers as a test says, and `herl-bench eval --model openai` against it."""

import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from herl_bench.cli import main


def command(capsys, base_url, *args, more=""):
    given = f"base_url={base_url},model=M,retries=2,backoff=0.001{more}"
    with pytest.raises(SystemExit) as left:
        main(["eval", "--tasks", "gsm8k", "--model", "openai", "--model_args", given, "--data", "synthetic", *args])
    out, err = capsys.readouterr()
    return left.value.code, out, err


def reply(text, finish="stop"):
    return (
        200,
        {},
        json.dumps(
            {"choices": [{"message": {"content": text}, "finish_reason": finish}], "usage": {"completion_tokens": 2}}
        ),
    )


@contextmanager
def server(respond):
    """`respond(prompt, n)` gives (status, headers, body) for the n-th request with that prompt, or None to drop the
    connection."""
    seen, lock = [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send(200, {}, "{}")

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            prompt = body["messages"][-1]["content"]
            with lock:
                seen.append((prompt, time.monotonic(), dict(self.headers), body))
                n = sum(p == prompt for p, *_ in seen)
            made = respond(prompt, n)
            if made is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self.send(*made)

        def send(self, status, headers, body):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": len(body.encode())}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.handle_error = lambda *_: None  # clients that hang up
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}/v1", seen
    finally:
        made.shutdown()
        thread.join()
        made.server_close()
