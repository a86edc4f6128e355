"""Serves a policy to arms whose computers cannot run it."""

import hmac
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from dp_hf.control.planner import Policy
from dp_hf.control.policy_settings import PolicySettings
from dp_hf.control.remote.messages import MAX_MESSAGE_BYTES, PROTOCOL_VERSION, pack, unpack
from dp_hf.errors import UserError

logger = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class PolicyServer:
    """Answers observations with chunks of actions, one at a time.

    Web pages are refused, even on this computer; whatever else cannot be understood is answered with its fault.

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
        try:
            self._server: Server = serve(
                self._serve_client,
                host,
                port,
                process_request=self._authenticate,
                origins=[None],
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
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
        logger.warning("%s: wrong or missing token", connection.remote_address)
        return connection.respond(401, "wrong or missing token\n")

    def _serve_client(self, connection: ServerConnection) -> None:
        address = connection.remote_address  # a closed connection has none
        logger.info("%s: connected", address)
        answering = self._clients[connection] = threading.Lock()
        try:
            connection.send(self._greeting)
            while not self._stopping.is_set():
                message = connection.recv()
                with answering:
                    connection.send(self._answer(message))
        except ConnectionClosed as error:
            logger.info("%s: %s", address, error)
        finally:
            del self._clients[connection]

    def _answer(self, message: bytes | str) -> bytes:
        try:
            request = unpack(message)
            if request.keys() != {"images", "state"} or not isinstance(request["images"], list):
                raise ValueError("a request has images, a list of frames, and state")
            states = None if request["state"] is None else np.asarray(request["state"])[None]
            with self._turn:
                start = time.perf_counter()
                actions = np.asarray(self._policy([request["images"]], state=states).actions, dtype=np.float32)
                seconds = time.perf_counter() - start
            return pack({"actions": actions, "inference_time": seconds})
        except ValueError as error:
            return pack({"error": str(error)})
        except Exception as error:
            logger.exception("the policy failed")
            return pack({"error": f"the policy failed: {type(error).__name__}: {error}"})
