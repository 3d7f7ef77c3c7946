"""A loopback server that controls the bytes on the wire, to misbehave in every known way."""

import asyncio
import contextlib
import json
import threading


def completion(content="fine", **changes):
    """The body of a sound completion; ``changes`` replace its parts."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}}
    choice |= {"finish_reason": "stop"} | changes.pop("choice", {})
    body = {"id": "1", "model": "tiny", "choices": [choice]}
    body["usage"] = {"prompt_tokens": 7, "completion_tokens": 3}
    return body | changes


def reply(body="", status="200 OK", headers=(), length=None):
    """Bytes of an HTTP answer; ``length`` lies about its size."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(raw) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


HANG, DROP = "hang", "drop"
MODELS = {"object": "list", "data": [{"id": "tiny", "owned_by": "someone"}]}


class FaultServer:
    """Answers chat completions from a list of behaviours, then always with the last one.

    A behaviour is bytes, HANG, DROP, or a function of the request's JSON that returns one of these.
    """

    def __init__(self, *behaviours, models=MODELS):
        self.behaviours = list(behaviours)
        self.models = models if models == HANG or isinstance(models, bytes) else reply(models)
        self.requests, self.headers = [], []
        self.connections = set()
        self.now = self.most = 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.connections:
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close in the next turn of the loop

    async def handle(self, reader, writer):
        self.connections.add(asyncio.current_task())
        try:
            while await self.exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def exchange(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        fields = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        if " /v1/models " in lines[0]:
            if self.models == HANG:
                await asyncio.sleep(60)
            writer.write(self.models)
            await writer.drain()
            return True
        self.requests.append(json.loads(body))
        count = len(self.requests)
        self.headers.append(fields)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.002)
            return await self.answer(writer, json.loads(body), count)
        finally:
            self.now -= 1

    async def answer(self, writer, said, count):
        behaviour = self.behaviours[min(count, len(self.behaviours)) - 1]
        behaviour = behaviour(said) if callable(behaviour) else behaviour
        if behaviour == HANG:
            await asyncio.sleep(60)
        if behaviour == DROP:
            writer.transport.abort()
            return False
        raw = behaviour
        writer.write(raw)
        await writer.drain()
        size = int(raw.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        return len(raw.partition(b"\r\n\r\n")[2]) == size


def donor(said):
    """A donor's answer, a function of the request's seed alone."""
    level = said["seed"] % 100
    birth = "Answer:" not in said["messages"][-1]["content"]
    text = f"My strategy will be to give {level}%." if birth else f"Answer: {level}%"
    return reply(completion(text))


@contextlib.contextmanager
def served(model):
    """A server in a thread; yields its URL."""
    loop, ready, stop, found = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), []

    async def main():
        async with FaultServer(model) as server:
            found.append(server.url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    ready.wait(10)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
