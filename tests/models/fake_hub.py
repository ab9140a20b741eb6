"""A hub on the loopback: the part of the hub's HTTP layout that huggingface_hub asks for, over made-up repositories."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Repository:
    """The files of each revision; `refusal` is the hub's error code where nobody may see it."""

    revisions: dict[str, dict[str, bytes]]
    refusal: tuple[int, str] | None = None
    pull_requests: list[dict] = field(default_factory=list)
    cut: frozenset[str] = frozenset()
    """Files of which only half arrives."""

    def files(self, revision: str) -> dict[str, bytes] | None:
        by_commit = {commit_of(name, files): files for name, files in self.revisions.items()}
        return self.revisions.get(revision) or by_commit.get(revision)


def commit_of(name: str, files: dict[str, bytes]) -> str:
    """A commit hash for a revision's content."""
    return hashlib.sha1(repr((name, sorted(files.items()))).encode()).hexdigest()


def pull_request(number: int, author: str, status: str = "open") -> dict:
    return {
        "title": "Adding `safetensors` variant of this model", "num": number, "author": {"name": author},
        "createdAt": "2024-01-01T00:00:00.000Z", "status": status, "isPullRequest": True,
        "repo": {"name": "x/y", "type": "model"},
    }  # fmt: skip


class FakeHub:
    """Serves until it is closed; `requests` records method and path of all that was asked."""

    def __init__(self, repositories: dict[str, Repository]) -> None:
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args) -> None:
                """Quiet."""

            def answer(self) -> None:
                path = unquote(urlsplit(self.path).path).strip("/")
                hub.requests.append(f"{self.command} {path}")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, content = hub.respond(repositories, path, body)
                if self.command == "GET" and hub.is_cut(repositories, path):
                    content = content[: len(content) // 2]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def respond(self, repositories, path, body) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content."""
        api = path.startswith("api/models/")
        owner, name, verb, *rest = path.removeprefix("api/models/").split("/")
        repository = repositories.get(f"{owner}/{name}")
        if repository is None:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        if repository.refusal:
            status, code = repository.refusal
            return status, {"X-Error-Code": code}, b""
        if verb == "discussions":
            listed = repository.pull_requests
            return as_json({"discussions": listed, "count": len(listed), "start": 0})
        revision, file = (rest[0], "/".join(rest[1:])) if not api else ("/".join(rest), "")
        files = repository.files(revision)
        if files is None:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        names = [n for n, fs in repository.revisions.items() if fs is files]
        commit = commit_of(names[0], files)
        if verb == "revision":
            return as_json(
                {"id": f"{owner}/{name}", "sha": commit, "siblings": [{"rfilename": n} for n in files]}
            )
        entries = [
            {"type": "file", "path": n, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for n, data in files.items()
        ]
        if verb == "tree":
            return as_json(entries)
        if verb == "paths-info":
            asked = parse_qs(body.decode())["paths"]
            return as_json([entry for entry in entries if entry["path"] in asked])
        if file not in files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        data = files[file]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        return 200, headers, data

    def is_cut(self, repositories, path) -> bool:
        repository = repositories.get("/".join(path.split("/")[:2]))
        return repository is not None and path.rpartition("/")[2] in repository.cut


def as_json(value) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()
