"""A cache that Python's huggingface_hub filled, read by the command line, and the other way round.

Needs the ``loraloom`` command, named by LORALOOM; ``pkg-scripts/test`` builds it. The hub is one on this
machine, with the addresses and headers of Hugging Face.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests" / "golden" / "models" / "narrow-tied"
REPO = "golden/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Larger files are named by their SHA-256, as files in Git LFS are.
LARGE = 1000


def etag(contents: bytes) -> str:
    if len(contents) > LARGE:
        return hashlib.sha256(contents).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(contents) + contents).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """Answers for the files of MODEL."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        files = {path.name: path for path in MODEL.iterdir() if path.is_file()}
        if self.path.startswith(f"/api/models/{REPO}"):
            siblings = [{"rfilename": name} for name in sorted(files)]
            body = json.dumps({"id": REPO, "sha": COMMIT, "siblings": siblings}).encode()
            self._send(200, body, {"Content-Type": "application/json"}, with_body)
            return
        name = self.path.rsplit("/", 1)[-1]
        if not self.path.startswith(f"/{REPO}/resolve/") or name not in files:
            self._send(404, b"", {}, with_body)
            return
        contents = files[name].read_bytes()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag(contents)}"'}
        status, total = 200, len(contents)
        if requested := self.headers.get("Range"):
            start, _, end = requested.removeprefix("bytes=").partition("-")
            contents = contents[int(start) : int(end) + 1 if end else None]
            last = int(start) + len(contents) - 1
            status, headers["Content-Range"] = 206, f"bytes {start}-{last}/{total}"
        self._send(status, contents, headers, with_body)

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Prints nothing."""


@unittest.skipUnless(os.environ.get("LORALOOM"), "LORALOOM does not name the loraloom command")
class SharedCache(unittest.TestCase):
    def setUp(self) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = folder.name
        self.examples = Path(folder.name) / "examples.jsonl"
        self.examples.write_text('{"input": "a b c", "output": "b"}\n', encoding="utf-8")

    def _environment(self, offline: bool) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        hub = {"HF_HOME": self.home, "HF_ENDPOINT": self.endpoint, "HF_HUB_DISABLE_XET": "1"}
        return {**kept, **hub, "HF_HUB_OFFLINE": "1" if offline else ""}

    def _loss(self, model: str, *, offline: bool) -> float:
        command = [os.environ["LORALOOM"], "score", "--json", "--precision", "f32"]
        command += ["--model", model, "--examples", str(self.examples)]
        environment = self._environment(offline)
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
        return json.loads(done.stdout)["loss"]

    def _snapshot(self, *, offline: bool) -> Path:
        code = f"import huggingface_hub; print(huggingface_hub.snapshot_download({REPO!r}))"
        environment = self._environment(offline)
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, env=environment
        )
        return Path(done.stdout.decode().strip())

    def test_the_command_line_reads_what_python_fetched(self) -> None:
        self._snapshot(offline=False)
        expected = self._loss(str(MODEL), offline=True)
        self.assertEqual(self._loss(REPO, offline=True), expected)
        self.assertEqual(self._loss(f"{REPO}@{COMMIT}", offline=True), expected)

    def test_python_reads_what_the_command_line_fetched(self) -> None:
        self._loss(REPO, offline=False)
        snapshot = self._snapshot(offline=True)
        self.assertEqual(snapshot.name, COMMIT)
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            self.assertEqual((snapshot / name).read_bytes(), (MODEL / name).read_bytes(), name)


if __name__ == "__main__":
    unittest.main()
