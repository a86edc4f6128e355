"""A page that shows a run as it goes, to a browser on this computer."""

import json
import threading
from collections import deque
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

from dp_hf.cameras import by_camera
from dp_hf.control.controller import Controller
from dp_hf.control.tick import Tick
from dp_hf.errors import UserError

PAGE = Path(__file__).with_name("live_page.html")
HOST = "127.0.0.1"
SHOWN_SECONDS = 30.0
_JPEG_QUALITY = 80


class LivePage:
    """An observer of the controller, and a context manager that serves what it has seen.

    A tick costs it a few references; pictures are compressed and numbers written out when a browser asks for them.
    Only this computer is answered, and nothing can be changed from the page.

    Args:
        controller: of the run.
        port: of this computer; 0 takes a free one.

    Raises:
        UserError: the port is taken.
    """

    def __init__(self, controller: Controller, port: int = 0):
        self._controller = controller
        self._lock = threading.Lock()
        self._ticks: deque[tuple[int, Tick]] = deque(maxlen=round(SHOWN_SECONDS * controller.robot.command_rate))
        self._number = 0
        try:
            self._server = _Server((HOST, port), _Handler)
        except OSError as error:
            raise UserError(f"port {port} of this computer cannot be had ({error.strerror}): give another") from error
        self._server.page = self
        self.address = f"http://{HOST}:{self._server.server_port}/"

    def __enter__(self) -> "LivePage":
        self._thread = threading.Thread(target=self._server.serve_forever, name="live page", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __call__(self, tick: Tick) -> None:
        with self._lock:
            self._number += 1
            self._ticks.append((self._number, tick))

    def since(self, number: int) -> dict[str, Any]:
        """What came after the tick of this number, and how the run stands."""
        with self._lock:
            ticks = list(self._ticks)
        shown = [(count, tick) for count, tick in ticks if count > number]
        last = ticks[-1][1] if ticks else None
        trajectory = self._controller.planner.trajectory
        return {
            "labels": list(self._controller.robot.quantities.labels),
            "shown_seconds": SHOWN_SECONDS,
            "number": shown[-1][0] if shown else number,
            "times": [tick.time for _, tick in shown],
            "states": [None if tick.state is None else _numbers(tick.state.value) for _, tick in shown],
            "commands": [None if tick.command is None else _numbers(tick.command) for _, tick in shown],
            "holds": [tick.hold_reason for _, tick in shown],
            "actors": [tick.actor for _, tick in shown],
            "chunk": trajectory and {"times": _numbers(trajectory.times), "positions": _numbers(trajectory.positions)},
            "cameras": [*by_camera(last.image.value)] if last and last.image else [],
            "report": str(self._controller.report),
        }

    def picture(self, camera: str) -> bytes | None:
        """The latest picture of a camera as JPEG; None where there is none."""
        with self._lock:
            last = self._ticks[-1][1] if self._ticks else None
        pictures = by_camera(last.image.value) if last and last.image else {}
        if camera not in pictures:
            return None
        file = BytesIO()
        Image.fromarray(np.ascontiguousarray(pictures[camera])).save(file, "JPEG", quality=_JPEG_QUALITY)
        return file.getvalue()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    page: LivePage

    def handle_error(self, request, client_address) -> None:
        """A browser that has gone is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_GET(self) -> None:
        # A page from elsewhere whose name was made to mean this computer would ask under its own name.
        if self.headers.get("Host", "").rpartition(":")[0] not in (HOST, "localhost"):
            return self.send_error(HTTPStatus.FORBIDDEN)
        url = urlsplit(self.path)
        page = self.server.page
        if url.path == "/":
            return self._answer("text/html; charset=utf-8", PAGE.read_bytes())
        if url.path == "/since":
            after = parse_qs(url.query).get("after", ["0"])[0]
            content = page.since(int(after) if after.isdecimal() and len(after) < 16 else 0)
            return self._answer("application/json", json.dumps(content, allow_nan=False).encode())
        picture = page.picture(url.path.removeprefix("/picture/"))
        return self.send_error(HTTPStatus.NOT_FOUND) if picture is None else self._answer("image/jpeg", picture)

    def _answer(self, kind: str, content: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing in the terminal of the run."""


def _numbers(values: np.ndarray) -> Any:
    """As numbers of JSON; null for what is none."""
    rounded = np.round(np.asarray(values, np.float64), 5)
    numbers = rounded.astype(object)
    numbers[~np.isfinite(rounded)] = None
    return numbers.tolist()
