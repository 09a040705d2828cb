"""A headscope server of a test's own: on a free port, with a cache in a temporary folder. Standard library only.

    with Server() as server:
        server.url                   "http://127.0.0.1:40123"
    (at the end: SIGTERM, exit status 0, no report of a sanitizer)

The program is $HEADSCOPE, else build/headscope.
"""
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

SOURCE = os.environ.get("HEADSCOPE_SOURCE") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.environ.get("HEADSCOPE") or os.path.join(SOURCE, "build", "headscope")
MODEL = "smollm2-135m-instruct"
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
START_SECONDS, STOP_SECONDS = 60, 60  # sanitizers and busy machines are slow


def models_folder():
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.environ.get("HEADSCOPE_MODELS") or os.path.join(data, "headscope", "models")


class Server:
    def __init__(self, *arguments, models=None, cache=None, environment=None, wrapper=()):
        """models: a models folder instead of the usual one. cache: the database's path. wrapper: what starts the program."""
        self.folder = tempfile.TemporaryDirectory(prefix="headscope-test-")
        self.cache = cache or os.path.join(self.folder.name, "cache", "analyses.db")
        self.command = [*wrapper, PROGRAM, "serve", "--host", "127.0.0.1", "--port", "0", "--cache", self.cache, *arguments]
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADSCOPE")}
        self.environment.update({"HEADSCOPE_MODELS": models or models_folder(), "HEADSCOPE_STORES": "off", "HEADSCOPE_PROBES": "off", **(environment or {})})
        self.process = None

    def start(self):
        """Starts (again, with the same cache) and waits until the server has said its address."""
        self.log_path = os.path.join(self.folder.name, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", self.log())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"the server did not start ({self.process.wait()}):\n{self.log()}")
            time.sleep(0.02)
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self):
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the server did not stop within {STOP_SECONDS} s of SIGTERM:\n{self.log()[-4000:]}") from None
        report = re.search(r"runtime error:|Sanitizer", self.log())
        assert status == 0 and not report, f"the server ended with {status}:\n{self.log()[-8000:]}"

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.folder.cleanup()
            raise

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
            elif self.process is not None:
                print(f"-- the server's log:\n{self.log()[-4000:]}")
                self.process.kill()
                self.process.wait()
        finally:
            self.folder.cleanup()

    def exchange(self, data, timeout=60):
        """Sends bytes over a connection of its own. Returns (status, headers with lower-case names, body, whether the server
        closed the connection within the time it took)."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
            connection.settimeout(timeout)
            try:
                connection.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has answered already, and reads no more
            return read_answer(connection)


def read_answer(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        block = connection.recv(65536)
        if not block:
            raise AssertionError(f"the connection was closed without an answer: {received[:200]!r}")
        received += block
    head, body = received.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, value = line.split(":", 1)
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", -1))
    closed = False
    while length < 0 or len(body) < length:
        block = connection.recv(65536)
        if not block:
            closed = True
            break
        body += block
    if not closed:
        connection.settimeout(0.5)
        try:
            more = connection.recv(65536)
            closed = more == b""
            body += more  # a second answer, where none is wanted, shows
        except (socket.timeout, TimeoutError):
            pass
        except ConnectionResetError:
            closed = True
    if headers.get("transfer-encoding", "") == "chunked":
        body = join_chunks(body)
    return int(lines[0].split()[1]), headers, body, closed


def join_chunks(body):
    whole = b""
    while body:
        size, rest = body.split(b"\r\n", 1)
        size = int(size.split(b";")[0], 16)
        if size == 0:
            return whole
        whole, body = whole + rest[:size], rest[size + 2:]
    raise AssertionError("the chunked body was cut short")
