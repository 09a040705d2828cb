"""How `headscope serve` starts, guards itself and stops: words for what is wrong, exit codes, the token, a crowd, hostile bytes."""
import http.client
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from server_under_test import PROGRAM, Server

SAFE = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cross-origin-resource-policy": "same-origin"}


def ask(port, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def run(*arguments, environment=None):
    """A start that is expected to fail."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADSCOPE")}
    with tempfile.TemporaryDirectory(prefix="headscope-test-") as folder:
        command = [PROGRAM, "serve", "--port", "0", "--cache", os.path.join(folder, "a.db"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**clean, **(environment or {})})
    return done.returncode, done.stdout, done.stderr


class Starting(unittest.TestCase):
    def test_usage_is_2_and_explained(self):
        for arguments, words in ((["--prot", "1"], "--help"), (["--port"], "value"), (["--threads", "many"], "whole number")):
            done = subprocess.run([PROGRAM, "serve", *arguments], capture_output=True, text=True, timeout=30)
            self.assertEqual(done.returncode, 2)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stdout, "")

    def test_help_is_0_on_stdout(self):
        for arguments in (["--help"], ["serve", "--help"], ["analyze", "-h"]):
            done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=30)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("headscope", done.stdout)

    def test_port_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            status, out, err = self.run_on(taken.getsockname()[1])
        self.assertEqual((status, out), (1, ""))
        self.assertIn("is taken", err)
        self.assertIn("--port", err)

    def run_on(self, port):
        with tempfile.TemporaryDirectory(prefix="headscope-test-") as folder:
            done = subprocess.run([PROGRAM, "serve", "--port", str(port), "--cache", folder + "/a.db"], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def test_no_wide_bind_without_token(self):
        for host in ("0.0.0.0", "::"):
            status, out, err = run("--host", host)
            self.assertEqual((status, out), (1, ""))
            self.assertIn("--token-file", err)

    def test_foreign_address(self):
        status, _, err = run("--host", "192.0.2.7", "--token-file", "/nowhere")
        self.assertEqual(status, 1)
        self.assertIn("/nowhere", err)

    def test_no_model_still_opens_the_page(self):
        with tempfile.TemporaryDirectory() as empty, Server(models=empty) as server:
            self.assertEqual(ask(server.port, "GET", "/")[0], 200)
            self.assertEqual(ask(server.port, "GET", "/healthz")[0], 200)
            status, headers, body = ask(server.port, "GET", "/readyz")
            self.assertEqual((status, headers["content-type"]), (503, "application/problem+json"))
            deadline = time.monotonic() + 10
            while "fetch_model" not in server.log() and time.monotonic() < deadline:
                time.sleep(0.05)
            self.assertIn("fetch_model", server.log())

    def test_web_root(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + "/index.html", "w", encoding="utf-8") as page:
                page.write("<p>mine")
            os.symlink("/etc/passwd", folder + "/link.js")
            with Server("--web-root", folder) as server:
                self.assertEqual(ask(server.port, "GET", "/a/x")[2], b"<p>mine")
                for path in ("/static/link.js", "/static/../index.html", "/static/..%2findex.html", "/static/.%2e/x.js"):
                    self.assertEqual(ask(server.port, "GET", path)[0], 404, path)


class Pages(unittest.TestCase):
    def test_page_and_assets(self):
        with Server() as server:
            status, headers, body = ask(server.port, "GET", "/")
            self.assertEqual(status, 200)
            self.assertIn("default-src 'none'", headers["content-security-policy"])
            self.assertNotIn("unsafe", headers["content-security-policy"])
            self.assertEqual({name: headers.get(name) for name in SAFE}, SAFE)
            self.assertEqual(headers["cache-control"], "no-cache")
            self.assertEqual(ask(server.port, "GET", "/", {"If-None-Match": headers["etag"]})[0], 304)
            self.assertEqual(ask(server.port, "HEAD", "/")[1]["content-length"], str(len(body)))
            for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', body.decode()):
                status, headers, _ = ask(server.port, "GET", path)
                self.assertEqual(status, 200, path)
                self.assertEqual({name: headers.get(name) for name in SAFE}, SAFE)
            for path in ("/a/" + "0" * 64, "/s/abc"):
                self.assertEqual(ask(server.port, "GET", path)[2], body)
            self.assertEqual(ask(server.port, "GET", "/static/none.js")[0], 404)


class Token(unittest.TestCase):
    def test_login(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/token"
            with open(path, "w", encoding="ascii") as file:
                file.write("correct horse battery staple".replace(" ", "-") + "\n")
            os.chmod(path, 0o644)
            status, _, err = run("--token-file", path)
            self.assertEqual(status, 1)
            self.assertIn("chmod 600", err)
            os.chmod(path, 0o600)
            with Server("--token-file", path) as server:
                address = re.search(r"http://\S+", server.log())[0]
                self.assertIn("?token=correct-horse", address)
                port = server.port
                self.assertEqual(ask(port, "GET", "/healthz")[0], 200)
                for target in ("/", "/static/main.js", "/api/v1/models", "/nothing", "/?token=wrong"):
                    status, headers, _ = ask(port, "GET", target)
                    self.assertEqual((status, headers["content-type"]), (401, "application/problem+json"), target)
                self.assertEqual(ask(port, "GET", "/api/v1/models", {"Authorization": "Bearer correct-horse-battery-staple"})[0], 200)
                status, headers, _ = ask(port, "GET", "/a/x?token=correct-horse-battery-staple")
                self.assertEqual((status, headers["location"]), (303, "/a/x"))
                self.assertRegex(headers["set-cookie"], r"HttpOnly; SameSite=Lax")
                cookie = headers["set-cookie"].split(";")[0]
                self.assertNotIn("correct", cookie)
                self.assertEqual(ask(port, "GET", "/a/x", {"Cookie": cookie})[0], 200)
                self.assertNotIn("staple", server.log().replace(address, ""))


class Stopping(unittest.TestCase):
    def test_signals_end_it_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server() as server:
                idle = socket.create_connection(("127.0.0.1", server.port))
                half = socket.create_connection(("127.0.0.1", server.port))
                half.sendall(b"POST /api/v1/analyses HTTP/1.1\r\nHost: loc")
                begun = time.monotonic()
                server.process.send_signal(number)
                self.assertEqual(server.process.wait(30), 0)
                print(f"{number.name}: ended after {time.monotonic() - begun:.3f} s", flush=True)
                idle.close(), half.close()
                server.process = None


class Hostile(unittest.TestCase):
    def test_lives_through_noise(self):
        dice = random.Random(7)
        with Server() as server:
            host = b"Host: localhost:%d\r\n" % server.port
            sound = b"POST /api/v1/tokenize HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n3\r\n1 }\r\n0\r\n\r\n"
            for turn in range(600):
                noise = bytearray(sound if turn % 2 else dice.randbytes(dice.randrange(1, 2000)))
                for _ in range(dice.randrange(4)):
                    noise[dice.randrange(len(noise))] = dice.randrange(256)
                with socket.create_connection(("127.0.0.1", server.port), 10) as client:
                    try:
                        client.sendall(noise)
                    except OSError:
                        pass
            self.assertEqual(ask(server.port, "GET", "/healthz")[0], 200)
            for target, extra in ((b"a" * 7000, b""), (b"a" * 9000, b""), (b"a" * 500000, b""), (b"", b"X: " + b"a" * 500000 + b"\r\n"),
                                  (b"", b"a: b\r\n" * 20000), (b"", b"X: \xff\xfe\x80\r\n"), (b"%00", b""), (b"\xff", b"")):
                with socket.create_connection(("127.0.0.1", server.port), 10) as client:
                    try:
                        client.sendall(b"GET /" + target + b" HTTP/1.1\r\n" + host + extra + b"Connection: close\r\n\r\n")
                        while client.recv(65536):
                            pass
                    except OSError:
                        pass
            self.assertEqual(ask(server.port, "GET", "/healthz")[0], 200)

    def test_serves_beside_a_crowd(self):
        with Server("--connections", "32") as server:
            crowd = []
            for _ in range(100):
                client = socket.create_connection(("127.0.0.1", server.port), 10)
                client.sendall(b"GET /hea")
                crowd.append(client)
            begun = time.monotonic()
            self.assertEqual(ask(server.port, "GET", "/healthz")[0], 200)
            print(f"served beside 100 silent connections, with 32 places, after {time.monotonic() - begun:.1f} s", flush=True)
            for client in crowd:
                client.close()
            for _ in range(300):
                socket.create_connection(("127.0.0.1", server.port), 10).close()
            self.assertEqual(ask(server.port, "GET", "/healthz")[0], 200)
            time.sleep(0.5)
            open_files = len(os.listdir(f"/proc/{server.process.pid}/fd"))
            self.assertLess(open_files, 60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
