"""A model behind an OpenAI-compatible server: chat completions or completions, over HTTP.

    herl-bench eval --model openai --model_args base_url=http://127.0.0.1:8000/v1,model=NAME --tasks gsm8k

Several requests run at once, within a rate limit if one is set; what fails is asked again, after a growing pause or as
long as the server asks for. Every answer goes into a file as it arrives, so that nothing is asked twice. What can go
wrong is of three kinds:

* the server is gone, or refuses everything (no such model, wrong key): `ServerError`, which ends the evaluation;
* one request fails for good (garbage, status 500, too long a prompt): an `Answer` with `error`, never an empty one;
* a pause helps (status 429, 503, a dropped connection): nobody notices.

Left out: streaming, tools, images, log-probs, several choices per request.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from herl_bench.conversation import Prompt, list_messages, write_as_text
from herl_bench.errors import DataError, ServerError, UsageError
from herl_bench.plain_text import flatten
from herl_bench.policy.answerer import Answer, ResolvedSampling, cut_at_stop, ignore_count
from herl_bench.reading import parse_json
from herl_bench.saving import append_lines
from herl_bench.settings import build, setting

if TYPE_CHECKING:
    import httpx2

LONGEST_PAUSE = 60.0
LONGEST_WAIT = 300.0
"""A server that asks for more seconds than this is better asked again later, by whoever started the evaluation."""
MOST_BODY = 1 << 24  # bytes of a reply, which is asked for uncompressed; what is longer is no answer
SHOWN = 200  # characters of a server's words that an error shows
MOST_STOPS = 4  # OpenAI's limit; the others are cut here
MOST_FINISH = 40
HOPELESS = 16
"""Where at least so many requests are made at once and every one fails, going on would only collect errors."""
REFUSALS = {
    401: "set api_key_env to the environment variable that holds the key",
    403: "the key may not use this",
    404: "is the name of the model right, and does base_url end in /v1?",
}
PASSING = (408, 409, 425, 429)


@dataclass(frozen=True)
class ServerConfig:
    """The keys of `--model_args` with `--model openai`."""

    base_url: str = setting("", "where the API begins, such as http://127.0.0.1:8000/v1")
    model: str = setting("", "the model's name on the server")
    api: Literal["chat", "completions"] = setting("chat", "chat completions, or completions for base models")
    api_key_env: str = setting("", "the environment variable that holds the key; none is sent if left out")
    concurrency: int = setting(8, "requests at the same time", ge=1)
    requests_per_minute: float = setting(0.0, "at most so many; 0 for no limit", ge=0)
    retries: int = setting(5, "how often a failed request is made again", ge=0)
    backoff: float = setting(1.0, "seconds before the first retry; doubled each time, up to a minute", ge=0)
    timeout: float = setting(600.0, "seconds that one answer may take, from the request to its last byte", gt=0)
    cache: str = setting(
        "", "a file that keeps all answers, for later evaluations too; else they are kept until the results stand"
    )


def parse_model_args(text: str) -> dict[str, str]:
    """`a=1,b=2` as a mapping. Raises `UsageError`."""
    values = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"--model_args {part}: write KEY=VALUE,KEY=VALUE")
        values[name.strip()] = value.strip()
    return values


def open_server(values: Mapping[str, Any], chat_template_kwargs: Mapping[str, Any] | None = None) -> Server:
    """chat_template_kwargs: sent along with each chat, as vLLM and SGLang take them. Raises `UsageError` for keys and
    values that cannot be used."""
    config: ServerConfig = build(ServerConfig, values, dict.fromkeys(values, "--model_args "))
    for name in ("base_url", "model"):
        if not getattr(config, name):
            example = "base_url=http://127.0.0.1:8000/v1,model=NAME, for example"
            raise UsageError(f"--model openai needs --model_args {name}=…: {example}")
    if not config.base_url.startswith(("http://", "https://")):
        raise UsageError(f"--model_args base_url={config.base_url}: begin it with http:// or https://")
    if config.api_key_env:
        key = os.environ.get(config.api_key_env)
        if not key:
            raise UsageError(f"--model_args api_key_env={config.api_key_env}: that environment variable is not set")
        if not (key.isascii() and key.isprintable()):
            fault = "that variable holds more than letters, digits and signs"
            raise UsageError(f"--model_args api_key_env={config.api_key_env}: {fault}")
    _check_address(config.base_url)
    if chat_template_kwargs and config.api != "chat":
        raise UsageError("chat_template_kwargs: a server applies its chat template with api=chat: leave them out")
    return Server(config, chat_template_kwargs)


def _check_address(base_url: str) -> None:
    import httpx2

    try:
        url = httpx2.URL(base_url)
    except (httpx2.InvalidURL, ValueError) as error:
        raise UsageError(f"--model_args base_url={base_url}: {error}") from None
    if not url.host or not 0 < (url.port or 80) < 1 << 16:
        raise UsageError(f"--model_args base_url={base_url}: it names no server: http://127.0.0.1:8000/v1, for example")


class Server:
    """See `herl_bench.policy.answerer.Answerer`."""

    def __init__(self, config: ServerConfig, chat_template_kwargs: Mapping[str, Any] | None = None):
        self.chat_template_kwargs = dict(chat_template_kwargs or {})
        self.config, self.name, self.batch_size = config, config.model, max(64, 4 * config.concurrency)
        self._known: dict[str, Answer] = {}
        self._file: Path | None = None
        self._next = 0.0  # when the next request may be made, by time.monotonic()
        if config.cache:
            self.remember(Path(config.cache))

    @property
    def chat(self) -> bool:
        return self.config.api == "chat"

    @property
    def identity(self) -> dict[str, Any]:
        told = {"chat_template_kwargs": self.chat_template_kwargs} if self.chat_template_kwargs else {}
        return {"base_url": self.config.base_url, "model": self.config.model, "api": self.config.api, **told}

    def remember(self, file: Path) -> None:
        """Answers go into this file from now on; those that it holds are known. A torn last line is written over."""
        whole = 0
        try:
            with file.open("rb") as lines:
                for line in lines:
                    try:
                        row = parse_json(line, str(file))
                        self._known[str(row["key"])] = _restore_answer(**row["answer"])
                    except (DataError, KeyError, TypeError):
                        if line.endswith(b"\n"):
                            what = "not a file of answers that herl-bench wrote"
                            raise UsageError(f"{file}: {what}: name another") from None
                        break
                    whole += len(line)
            os.truncate(file, whole)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise UsageError(f"{file}: cannot be used for a server's answers: {error.strerror}") from None
        self._file = file

    def answer(
        self,
        prompts: Sequence[Prompt],
        seeds: Sequence[int],
        sampling: ResolvedSampling,
        on_answers: Callable[[int], None] = ignore_count,
    ) -> list[Answer]:
        temperature, stop = sampling.temperature, sampling.stop
        how: dict[str, Any] = {"model": self.config.model, "max_tokens": sampling.max_new_tokens}
        how |= {"temperature": temperature, **({"stop": list(stop)[:MOST_STOPS]} if stop else {})}
        how |= {"chat_template_kwargs": self.chat_template_kwargs} if self.chat_template_kwargs else {}
        bodies = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            messages = list_messages(prompt, sampling.instruction)
            given = {"messages": messages} if self.chat else {"prompt": write_as_text(prompt)}
            bodies.append({**how, **given, **({"seed": seed} if temperature > 0 else {})})
        asked = [json.dumps([self.identity, body], sort_keys=True) for body in bodies]
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in asked]
        wanted = {key: body for key, body in zip(keys, bodies, strict=True) if key not in self._known}
        on_answers(sum(key in self._known for key in keys))
        fresh = _run(self._ask_all(wanted, lambda key: on_answers(keys.count(key)))) if wanted else {}
        if len(fresh) >= HOPELESS and all(answer.error for answer in fresh.values()):
            first = next(iter(fresh.values())).error
            raise ServerError(f"{self._url}: not one of {len(fresh)} requests was answered: {first}")
        return [_end_at_stop(fresh.get(key) or self._known[key], stop) for key in keys]

    # --------------------------------------------------------------------------------------------------------- requests
    @property
    def _url(self) -> str:
        return self.config.base_url.rstrip("/") + ("/chat/completions" if self.chat else "/completions")

    def reads(self, prompt: Prompt, instruction: str) -> str:
        messages = list_messages(prompt, instruction)
        return json.dumps(messages, ensure_ascii=False) if self.chat else write_as_text(prompt)

    async def _ask_all(
        self, bodies: Mapping[str, dict[str, Any]], on_answer: Callable[[str], None]
    ) -> dict[str, Answer]:
        import httpx2

        gate = asyncio.Semaphore(self.config.concurrency)
        key = os.environ.get(self.config.api_key_env) if self.config.api_key_env else None
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx2.Limits(max_connections=self.config.concurrency + 1)

        async def ask_one(name: str, body: dict[str, Any]) -> tuple[str, Answer]:
            async with gate:
                try:
                    answer = await self._ask(client, body)
                except ServerError:
                    for task in tasks:  # before the gate lets the next one through
                        if task is not asyncio.current_task():
                            task.cancel()
                    raise
            if not answer.error:
                self._known[name] = answer
                if self._file is not None:
                    self._file.parent.mkdir(parents=True, exist_ok=True)
                    append_lines(self._file, [{"key": name, "answer": asdict(answer)}])
            on_answer(name)
            return name, answer

        async with httpx2.AsyncClient(headers=headers, timeout=self.config.timeout, limits=limits) as client:
            tasks = [asyncio.ensure_future(ask_one(name, body)) for name, body in bodies.items()]
            try:
                return dict(await asyncio.gather(*tasks))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, client: httpx2.AsyncClient, body: dict[str, Any]) -> Answer:
        import httpx2

        fault, reached = "", True
        for attempt in range(self.config.retries + 1):
            if attempt:
                pause = min(LONGEST_PAUSE, self.config.backoff * 2 ** (attempt - 1))
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            await self._await_turn()
            try:
                reply, data = await self._exchange(client, body)
            except httpx2.HTTPError as error:
                fault, reached = _shorten(f"{type(error).__name__}: {error}".rstrip(": ")), False
                continue
            except TimeoutError:
                fault, reached = f"no whole answer within {self.config.timeout:g} seconds", False
                continue
            except ValueError as error:
                fault, reached = str(error), True
                continue
            reached = True
            if reply.is_success:
                try:
                    return _parse_reply(data)
                except ValueError as error:
                    fault = str(error)
                    continue
            fault = f"HTTP {reply.status_code} {_shorten(data.decode('utf-8', 'replace'))}".rstrip()
            if reply.status_code in REFUSALS or reply.is_redirect:
                hint = REFUSALS.get(reply.status_code, "correct base_url")
                raise ServerError(f"{self._url} refuses: {fault}: {hint}")
            if reply.status_code < 500 and reply.status_code not in PASSING:
                return Answer("", error=fault)
            wait = _read_retry_after(reply.headers.get("retry-after"))
            if wait > LONGEST_WAIT:
                what = f"takes no requests for {wait:,.0f} seconds ({fault})"
                raise ServerError(f"{self._url} {what}: repeat the command then, which goes on from here")
            self._next = max(self._next, time.monotonic() + wait)
        if not reached and not await self._is_alive(client):
            remedy = "start it again and repeat the command, which goes on from here"
            raise ServerError(f"{self.config.base_url} is gone ({fault}): {remedy}")
        return Answer("", error=f"{fault}, {self.config.retries + 1} tries")

    async def _exchange(self, client: httpx2.AsyncClient, body: Mapping[str, Any]) -> tuple[httpx2.Response, bytes]:
        """The reply and its bytes, within the timeout. Raises `ValueError` for a body that is too long or packed."""
        data = bytearray()
        async with (
            asyncio.timeout(self.config.timeout),
            client.stream("POST", self._url, content=json.dumps(body).encode()) as reply,
        ):
            if packed := reply.headers.get("content-encoding", "identity").strip().lower().replace("identity", ""):
                raise ValueError(f"a reply in the encoding {_shorten(packed)}, although none was asked for")
            async for piece in reply.aiter_raw():
                data += piece
                if len(data) > MOST_BODY:
                    raise ValueError(f"a reply of more than {MOST_BODY >> 20} MiB")
            return reply, bytes(data)

    async def _await_turn(self) -> None:
        """Wait for the rate limit, and as long as the server asked for."""
        now = time.monotonic()
        at = max(now, self._next)
        if self.config.requests_per_minute:
            self._next = at + 60 / self.config.requests_per_minute
        if at > now:
            await asyncio.sleep(at - now)

    async def _is_alive(self, client: httpx2.AsyncClient) -> bool:
        """A server that drops one request may live on; one that takes no connection does not."""
        import httpx2

        try:
            async with asyncio.timeout(min(10.0, self.config.timeout)):
                async with client.stream("GET", self.config.base_url.rstrip("/") + "/models"):
                    return True
        except (httpx2.HTTPError, TimeoutError):
            return False


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """`asyncio.run`, in a thread of its own where a loop runs in this one, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _restore_answer(text: str, finish: str, tokens: int, dropped: int, error: str) -> Answer:
    """Raises `TypeError`."""
    words, counts = (text, finish, error), (tokens, dropped)
    if not all(isinstance(word, str) for word in words) or not all(type(count) is int for count in counts):
        raise TypeError("not as an answer is kept")
    return Answer(text, finish, tokens, dropped, error)


def _parse_reply(body: bytes) -> Answer:
    """Raises `ValueError` with what is wrong with the reply. It is UTF-8, as JSON is, whatever its headers say."""
    text = body.decode("utf-8", "replace")
    try:
        data = parse_json(body, "reply")
    except DataError as error:
        problem = str(error).removeprefix("reply: ")
        if problem.startswith("not JSON, perhaps"):
            problem = f"not JSON: {_shorten(text) or 'an empty reply'}"
        raise ValueError(problem) from None
    choices = data.get("choices") if isinstance(data, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise ValueError(f"no choices in the reply: {_shorten(text)}")
    message, ended = choice.get("message"), choice.get("finish_reason")
    content = message.get("content") if isinstance(message, dict) else choice.get("text")
    if content is None and ended == "length":  # all of it went into hidden reasoning
        content = ""
    if not isinstance(content, str):
        raise ValueError(f"no text in the reply: {_shorten(text)}")
    usage = data.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    finish = _shorten(ended)[:MOST_FINISH] if isinstance(ended, str) else ""
    return Answer(content, finish, tokens if type(tokens) is int and 0 <= tokens < 1 << 40 else 0)


def _end_at_stop(answer: Answer, stop: Sequence[str]) -> Answer:
    text = cut_at_stop(answer.text, stop)
    return answer if text == answer.text else Answer(text, "stop", answer.tokens)


def _shorten(text: str) -> str:
    flat = flatten(text[: 20 * SHOWN])
    return flat if len(flat) <= SHOWN else flat[: SHOWN - 1] + "…"


def _read_retry_after(value: str | None) -> float:
    """Seconds, from a number or a date."""
    if not value:
        return 0.0
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, OverflowError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return 0.0
