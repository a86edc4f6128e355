"""Serves a policy to arms whose computers cannot run it."""

import hmac
import logging
import sys
import threading
import time
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from dp_hf.cameras import by_camera
from dp_hf.control.planner import Policy
from dp_hf.control.policy_settings import PolicySettings
from dp_hf.control.remote.messages import MAX_MESSAGE_BYTES, PROTOCOL_VERSION, pack, unpack
from dp_hf.control.robot import Frame
from dp_hf.errors import UserError

logger = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Each has a thread until it has said who it is, or for 5 s.
MAX_ENTERING = 32


class PolicyServer:
    """Answers observations with chunks of actions, one at a time.

    Web pages are refused, even on this computer; whatever else cannot be understood is answered with its fault. Images
    and states are arrays, never paths: a client has nothing opened here.

    Args:
        policy: see `planner.Policy`.
        settings: of the policy.
        host: address to listen at; any other than this computer's own needs a `token`.
        port: 0 takes a free one.
        token: what clients must know.

    Attributes:
        port: listened at.

    Raises:
        UserError: no token for a public address, or the address is taken.
    """

    def __init__(
        self,
        policy: Policy,
        settings: PolicySettings,
        host: str = "127.0.0.1",
        port: int = 8765,
        token: str | None = None,
    ):
        if host not in LOOPBACK and not token:
            raise UserError(f"listening at {host} lets others in: give a token")
        self._policy = policy
        self._greeting = pack({"protocol_version": PROTOCOL_VERSION, "settings": asdict(settings)})
        self._token = token
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._clients: dict[ServerConnection, threading.Lock] = {}  # a lock is held while its client is answered
        connection: Any = partial(_Connection, threading.BoundedSemaphore(MAX_ENTERING))
        try:
            self._server: Server = serve(
                self._serve_client,
                host,
                port,
                process_request=self._authenticate,
                origins=[None],
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                create_connection=connection,
                logger=_OneLine(logging.getLogger("websockets.server"), {}),
                # A client that vanishes while it connects or is dismissed holds up the end for as long.
                open_timeout=5,
                close_timeout=1,
            )
        except OSError as error:
            raise UserError(f"cannot listen at {host}:{port} ({error}): give another --port") from error
        self.port: int = self._server.socket.getsockname()[1]

    def serve_forever(self) -> None:
        """Returns after `shutdown`."""
        self._server.serve_forever()

    def shutdown(self) -> None:
        """Answers the requests under way, then disconnects all clients and stops; callable from any thread."""
        self._stopping.set()
        # Not left to websockets, which closes no connection before its version 17, and then waits for no answer.
        with ThreadPoolExecutor() as threads:
            for connection, answering in list(self._clients.items()):
                threads.submit(self._dismiss, connection, answering)
        self._server.shutdown()

    @staticmethod
    def _dismiss(connection: ServerConnection, answering: threading.Lock) -> None:
        with answering:
            connection.close(CloseCode.GOING_AWAY)

    def _authenticate(self, connection: ServerConnection, request: Request) -> Response | None:
        given = request.headers.get("Authorization", "").encode()
        if self._token is None or hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            return None
        logger.warning("%s: wrong or missing token", _address(connection))
        return connection.respond(401, "wrong or missing token\n")

    def _serve_client(self, connection: ServerConnection) -> None:
        address = _address(connection)
        logger.info("%s: connected", address)
        answering = self._clients[connection] = threading.Lock()
        try:
            connection.send(self._greeting)
            while not self._stopping.is_set():
                message = connection.recv()
                with answering:
                    connection.send(self._answer(message))
        except (ConnectionClosed, OSError) as error:
            logger.info("%s: %s", address, error)
        finally:
            del self._clients[connection]

    def _answer(self, message: bytes | str) -> bytes:
        try:
            request = unpack(message)
            images, states, given = _observations(request)
            with self._turn:
                start = time.perf_counter()
                actions = np.asarray(self._policy([images], state=states, **given).actions, dtype=np.float32)
                seconds = time.perf_counter() - start
            return pack({"actions": actions, "inference_time": seconds})
        except ValueError as error:
            return pack({"error": str(error)})
        except Exception as error:
            logger.exception("the policy failed")
            return pack({"error": f"the policy failed: {type(error).__name__}: {error}"})


def _observations(request: dict[str, Any]) -> tuple[list[Frame], np.ndarray | None, dict[str, np.ndarray]]:
    """The frames and states (1, n_obs_steps, state_dim) of a request, and its `prefix` (n, action_dim) if it has one.

    Raises:
        ValueError: they are not arrays, and nothing else, of images, states and actions.
    """
    if request.keys() - {"prefix"} != {"images", "state"} or not isinstance(request["images"], list):
        raise ValueError("a request has images, a list of frames, and state, and may have a prefix")
    images, states, prefix = request["images"], request["state"], request.get("prefix")
    for frame in images:
        for picture in by_camera(frame).values():
            if not _is_array(picture, np.uint8, 3) or picture.shape[2] != 3 or picture.size == 0:
                raise ValueError("a frame is an array uint8 (H, W, 3), or a map of them by camera")
    if states is not None and not _is_array(states, np.float32, 2):
        raise ValueError("state is an array float32 (n_obs_steps, state_dim), or nothing")
    if prefix is not None and not _is_array(prefix, np.float32, 2):
        raise ValueError("prefix is an array float32 (n, action_dim), or nothing")
    return images, None if states is None else states[None], {} if prefix is None else {"prefix": prefix}


def _is_array(value: Any, dtype: type, ndim: int) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == dtype and value.ndim == ndim


def _address(connection: ServerConnection) -> str:
    try:
        host, port, *_ = connection.remote_address
        return f"{host}:{port}"
    except OSError:
        return "a client that has left"


class _Connection(ServerConnection):
    """One of at most as many that have not shown their token as `entering` lets in."""

    def __init__(self, entering: threading.BoundedSemaphore, *args: Any, **kwargs: Any):
        if not entering.acquire(blocking=False):
            raise ConnectionRefusedError("too many connections at once have not shown a token")
        self._entering = entering
        try:
            super().__init__(*args, **kwargs)
        except BaseException:
            entering.release()
            raise

    def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().handshake(*args, **kwargs)
        finally:
            self._entering.release()


class _OneLine(logging.LoggerAdapter):
    """Names an exception in place of its traceback: a stranger's garbage is no fault of this program."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        if kwargs.pop("exc_info", None):
            error = sys.exc_info()[1]
            msg = f"{msg}: {type(error).__name__}: {error!s:.200}"
        return msg, kwargs
