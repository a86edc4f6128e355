"""A small Hub on the loopback: create, preupload, LFS, commit, tree, tags and resolve, over a dict of files.

It speaks enough of the real protocol for huggingface_hub's own client to push and pull.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LFS_SUFFIXES = (".safetensors", ".parquet", ".onnx", ".data")


class Hub:
    """Repositories as {(type, id): {revision: {path: bytes}}}, and tags; `private` is what was asked at creation."""

    def __init__(self):
        self.repos: dict[tuple[str, str], dict[str, dict[str, bytes]]] = {}
        self.tags: dict[tuple[str, str], dict[str, dict[str, bytes]]] = {}
        self.private: dict[tuple[str, str], bool] = {}
        self.objects: dict[str, bytes] = {}

    def files(self, kind: str, repo_id: str, revision: str) -> dict[str, bytes] | None:
        known = self.tags.get((kind, repo_id), {}) | self.repos.get((kind, repo_id), {})
        if revision in known:
            return known[revision]
        return next((files for files in known.values() if commit_id(files) == revision), None)


def commit_id(files: dict[str, bytes]) -> str:
    digest = hashlib.sha1()
    for path, content in sorted(files.items()):
        digest.update(path.encode() + b"\0" + hashlib.sha1(content).digest())
    return digest.hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args):
        pass

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, content=b"", status=200, headers=()):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def missing(self, code: str):
        self.reply({"error": code}, 404, [("X-Error-Code", code), ("X-Error-Message", code)])

    @property
    def address(self) -> str:
        return f"http://{self.headers['Host']}"

    def do_POST(self):
        path, body = unquote(urlsplit(self.path).path), self.body()
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            return self.reply({"errors": [], "warnings": []})
        if match := re.fullmatch(r"/(datasets/)?(.+?)\.git/info/lfs/objects/batch", path):
            return self.lfs_batch(json.loads(body))
        match = re.fullmatch(
            r"/api/(models|datasets)/([^/]+/[^/]+)/(preupload|commit|branch|tag|paths-info)/(.+)", path
        )
        if not match:
            return self.missing("EntryNotFound")
        kind, repo_id, action, revision = match.groups()
        branches = self.hub.repos.get((kind, repo_id))
        if branches is None:
            return self.missing("RepoNotFound")
        if action == "branch":
            branches.setdefault(revision, dict(branches["main"]))
            return self.reply({})
        if revision not in branches and self.hub.files(kind, repo_id, revision) is None:
            return self.missing("RevisionNotFound")
        if action == "tag":
            tags, tag = self.hub.tags.setdefault((kind, repo_id), {}), json.loads(body)["tag"]
            if tag in tags:
                return self.reply({"error": "Tag reference exists already"}, 409)
            tags[tag] = self.hub.files(kind, repo_id, revision)
            return self.reply({})
        if action == "preupload":
            files = [
                {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LFS_SUFFIXES) else "regular"}
                | {"shouldIgnore": False, "oid": None}
                for f in json.loads(body)["files"]
            ]
            return self.reply({"files": files})
        if action == "paths-info":
            return self.paths_info(kind, repo_id, revision, body)
        return self.commit(kind, repo_id, revision, body)

    def create(self, request):
        kind = request.get("type", "model") + "s"
        name = request.get("organization") or "me"
        key = (kind, f"{name}/{request['name']}")
        prefix = "" if kind == "models" else f"{kind}/"
        url = f"{self.address}/{prefix}{key[1]}"
        if key in self.hub.repos:
            return self.reply({"url": url, "error": "You already created this repo"}, 409)
        self.hub.repos[key] = {"main": {}}
        self.hub.private[key] = bool(request.get("private")) or request.get("visibility") == "private"
        return self.reply({"url": url, "id": key[1], "name": key[1]})

    def lfs_batch(self, request):
        objects = [
            {"oid": o["oid"], "size": o["size"]}
            | {"actions": {"upload": {"href": f"{self.address}/lfs/{o['oid']}", "header": {}}}}
            for o in request["objects"]
        ]
        self.reply({"transfer": "basic", "objects": objects})

    def do_DELETE(self):
        match = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/tag/(.+)", unquote(urlsplit(self.path).path))
        tags = self.hub.tags.get((match[1], match[2]), {}) if match else {}
        if match is None or match[3] not in tags:
            return self.missing("RevisionNotFound")
        del tags[match[3]]
        self.reply({})

    def do_PUT(self):
        self.hub.objects[self.path.rsplit("/", 1)[1]] = self.body()
        self.reply()

    def commit(self, kind, repo_id, revision, body):
        files = dict(self.hub.repos[kind, repo_id][revision])
        for line in body.decode().splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif operation["key"] == "deletedFile":
                files.pop(value["path"], None)
        oid, answer = commit_id(files), {}
        if "create_pr=1" in self.path:
            revision, answer = "refs/pr/1", {"pullRequestUrl": f"{self.address}/{repo_id}/discussions/1"}
        self.hub.repos[kind, repo_id][revision] = files
        url = f"{self.address}/{repo_id}/commit/{oid}"
        self.reply({"commitUrl": url, "commitOid": oid, "success": True} | answer)

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.resolve(match)
        if match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|refs)/?(.*))?", path):
            return self.info(*match.groups())
        if path == "/api/whoami-v2":
            return self.reply({"name": "me", "type": "user", "orgs": [], "auth": {"type": "access_token"}})
        return self.missing("EntryNotFound")

    do_HEAD = do_GET

    def resolve(self, match):
        kind = "datasets" if match[1] else "models"
        if (kind, match[2]) not in self.hub.repos:
            return self.missing("RepoNotFound")
        files = self.hub.files(kind, match[2], match[3])
        if files is None or match[4] not in files:
            return self.missing("RevisionNotFound" if files is None else "EntryNotFound")
        content = files[match[4]]
        headers = [("ETag", f'"{hashlib.sha256(content).hexdigest()}"'), ("X-Repo-Commit", commit_id(files))]
        headers += [("Accept-Ranges", "bytes"), ("X-Linked-Size", str(len(content)))]
        if ranged := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, end = int(ranged[1]), min(int(ranged[2] or len(content)), len(content) - 1)
            headers += [("Content-Range", f"bytes {start}-{end}/{len(content)}")]
            return self.reply(content[start : end + 1], 206, headers)
        return self.reply(content, 200, headers)

    def info(self, kind, repo_id, what, rest):
        branches = self.hub.repos.get((kind, repo_id))
        if branches is None:
            return self.missing("RepoNotFound")
        if what == "refs":
            refs = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": commit_id(f)} for n, f in branches.items()]
            tags = self.hub.tags.get((kind, repo_id), {})
            marked = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": commit_id(f)} for n, f in tags.items()]
            return self.reply({"branches": refs, "tags": marked, "converts": []})
        revision, _, folder = (rest or "main").partition("/")
        files = self.hub.files(kind, repo_id, revision)
        if files is None:
            return self.missing("RevisionNotFound")
        if what == "tree":
            return self.reply(tree(files, folder, "recursive=true" in self.path.lower()))
        siblings = [{"rfilename": path} for path in sorted(files)]
        private = self.hub.private[kind, repo_id]
        return self.reply(
            {"id": repo_id, "sha": commit_id(files), "siblings": siblings, "private": private, "tags": []}
        )

    def paths_info(self, kind, repo_id, revision, body):
        try:
            paths = json.loads(body)["paths"]
        except ValueError:
            paths = [unquote(pair[6:]) for pair in body.decode().split("&") if pair.startswith("paths=")]
        entries = tree(self.hub.files(kind, repo_id, revision), "", recursive=True)
        self.reply([entry for entry in entries if entry["path"] in paths])


def tree(files: dict[str, bytes], folder: str, recursive: bool) -> list[dict]:
    entries: dict[str, dict] = {}
    prefix = folder + "/" if folder else ""
    for path, content in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts)):
            name = prefix + "/".join(parts[:depth])
            entries.setdefault(name, {"type": "directory", "path": name, "oid": "0" * 40, "size": 0})
            if not recursive:
                break
        if recursive or len(parts) == 1:
            sha256 = hashlib.sha256(content).hexdigest()
            entry = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            if path.endswith(LFS_SUFFIXES):
                entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
            entries[path] = entry
    return list(entries.values())


@contextmanager
def serve_hub():
    """Yields (hub, address) of a server on a free loopback port."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
