"""The transcriber: puts speech into words, with a program on this machine or a server's API.

Both are told nothing but the audio. What comes back is somebody's words: a text, no instruction.
"""

import asyncio
import json
import os
import shlex
import signal
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from agentos import log as logs
from agentos.errors import NotTranscribed
from agentos.settings import Voice

log = logs.get(__name__)
_MOST_BYTES = 200_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# What a program needs to be found and to speak its language; no key, no token.
_PASSED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME",
)


class Transcriber:
    """One of the two ways, as the settings say; the program wins."""

    def __init__(self, settings: Voice) -> None:
        self._settings = settings

    @property
    def is_there(self) -> bool:
        """Whether any way is configured."""
        return bool(self._settings.command or self._settings.url)

    async def transcribe(self, audio: Path) -> str:
        """The words of a recording, which is named by its whole path. Raises NotTranscribed."""
        way = self._by_program if self._settings.command else self._by_server
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                said = await way(audio)
        except TimeoutError as error:
            seconds = round(self._settings.timeout_seconds)
            raise NotTranscribed(problem=f"no words within {seconds} s") from error
        text = " ".join(said.split())
        if not text:
            raise NotTranscribed(problem="there were no words in it")
        return text

    async def _by_program(self, audio: Path) -> str:
        put = {"file": str(audio), "language": self._settings.language or "auto"}
        words = shlex.split(self._settings.command)
        for name, value in put.items():
            words = [word.replace(f"{{{name}}}", value) for word in words]
        known = {name: os.environ[name] for name in _PASSED if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=known,
                start_new_session=True,
            )
        except OSError as error:
            raise NotTranscribed(problem=f"{words[0]} does not start") from error
        try:
            assert process.stdout is not None
            said = await _limited(process.stdout)
            code = await process.wait()
        finally:
            # Whatever it started is in its group, and ends with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if code != 0:
            raise NotTranscribed(problem=f"{Path(words[0]).name} ended with code {code}")
        return said.decode("utf-8", errors="replace")

    async def _by_server(self, audio: Path) -> str:
        url, key = self._settings.url, self._settings.key.get_secret_value()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        fields = {"model": self._settings.model, "response_format": "json"}
        if self._settings.language:
            fields["language"] = self._settings.language
        content = await asyncio.to_thread(audio.read_bytes)
        trust_env = urlsplit(url).hostname not in _LOOPBACK
        try:
            async with (
                httpx.AsyncClient(trust_env=trust_env, timeout=None) as client,  # noqa: S113
                client.stream(
                    "POST",
                    url,
                    headers=headers,
                    data=fields,
                    files={"file": (audio.name, content)},
                ) as response,
            ):
                body = b""
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise NotTranscribed(problem="the answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotTranscribed(problem=f"{_host(url)} cannot be reached") from error
        if response.status_code != httpx.codes.OK:
            raise NotTranscribed(problem=f"{_host(url)} answers {response.status_code}")
        return _text_in(body, response=response)


async def _limited(stream: asyncio.StreamReader) -> bytes:
    """All that a stream holds, up to a limit. Raises NotTranscribed beyond it."""
    found = b""
    while piece := await stream.read(65_536):
        found += piece
        if len(found) > _MOST_BYTES:
            raise NotTranscribed(problem="the answer is too long")
    return found


def _text_in(body: bytes, *, response: httpx.Response) -> str:
    """The text of an answer, which is JSON with a text, or plain."""
    plain = body.decode("utf-8", errors="replace")
    if "json" not in response.headers.get("content-type", "json"):
        return plain
    try:
        return str(json.loads(plain)["text"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotTranscribed(problem="the answer makes no sense") from error


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the server"
