"""A small Hugging Face hub on the loopback interface: the four calls by which repositories are listed and read."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/?]+))?")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class FakeHub:
    """`files` by kind and repository, then by name; `log` holds what was asked: (method, path, range).

    `gated` repositories show their listing and refuse their files. A transfer of a file in `stalls` stops after so
    many bytes and waits, every time; one in `cuts` stops with its connection, once.
    """

    address: str = ""
    files: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    stalls: dict[str, int] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    stalled: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    log: list[tuple[str, str, str | None]] = field(default_factory=list)

    def downloads(self) -> list[str]:
        """The names of the files whose contents were asked for."""
        return [match[4] for method, path, _ in self.log if method == "GET" and (match := FILE.fullmatch(path))]


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A hub while the block runs."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.log.append((self.command, path, self.headers.get("Range")))
            if match := API.fullmatch(path):
                self._api(*match.groups())
            elif match := FILE.fullmatch(path):
                self._file("datasets" if match[1] else "models", match[2], match[3], match[4], body)
            else:
                self._send(404, {}, b"")

        def _api(self, kind: str, repository: str, call: str | None, revision: str | None) -> None:
            files = hub.files.get((kind, repository))
            if files is None:
                self._send(404, {"X-Error-Code": "RepoNotFound"}, b"")
            elif revision not in (None, "main", COMMIT):
                self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"")
            elif call != "tree":
                self._json({"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]})
            else:
                self._json([self._entry(name, content) for name, content in files.items()])

        def _entry(self, name: str, content: bytes) -> dict[str, object]:
            oid = sha1(content).hexdigest()
            entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": oid}
            if name.endswith((".safetensors", ".parquet")):
                entry["lfs"] = {"oid": sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}
            return entry

        def _file(self, kind: str, repository: str, revision: str, name: str, body: bool) -> None:
            content = hub.files.get((kind, repository), {}).get(name)
            if repository in hub.gated:
                self._send(403, {"X-Error-Code": "GatedRepo"}, b"")
            elif content is None:
                self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b"")
            else:
                big = name.endswith((".safetensors", ".parquet"))
                tag = (sha256 if big else sha1)(content).hexdigest()
                headers = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
                asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
                start = int(asked[1]) if asked else 0
                if asked:
                    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self._send(206 if asked else 200, headers, content[start:], body, name)

        def _json(self, data: object) -> None:
            self._send(200, {"Content-Type": "application/json"}, json.dumps(data).encode())

        def _send(self, code: int, headers: dict[str, str], content: bytes, body: bool = True, name: str = "") -> None:
            self.send_response(code)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if not body:
                return
            if name in hub.stalls:
                self.wfile.write(content[: hub.stalls[name]])
                self.wfile.flush()
                hub.stalled.set()
                hub.closing.wait(120)
            elif name in hub.cuts:
                self.wfile.write(content[: hub.cuts.pop(name)])
                self.close_connection = True
            else:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()
