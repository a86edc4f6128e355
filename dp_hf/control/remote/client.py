"""A policy that runs on another computer; needs numpy, pillow, websockets and msgpack, and no torch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from dp_hf.control.policy_settings import PolicySettings
from dp_hf.control.remote.messages import MAX_MESSAGE_BYTES, PROTOCOL_VERSION, pack, unpack
from dp_hf.control.robot import Frame
from dp_hf.errors import UserError
from dp_hf.pictures import as_pil, resize
from dp_hf.pipelines.arguments import as_float32, spread_prefix


class RemoteOutput(NamedTuple):
    """`actions` (1, horizon, action_dim) float32; `inference_time`, seconds that the policy took there."""

    actions: np.ndarray
    inference_time: float


class _NoPolicyServer(ConnectionError):
    """Somebody answers, and not as a server of this version does."""


class RemotePolicy:
    """Calls like a `DiffusionPolicyPipeline`, and asks a `dp-hf serve-policy` server.

    Args:
        url: `ws://HOST:PORT`.
        token: what the server asks for.
        timeout: seconds to connect and to wait for an answer.

    Attributes:
        settings: of the policy.

    Raises:
        UserError: the server cannot be reached, refuses the token, or is of another version.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 5.0):
        self.url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout
        try:
            self._connection: ClientConnection | None
            self._connection, self.settings = self._connect()
        except InvalidStatus as error:
            raise UserError(f"{url} refuses the connection: is the token right? ({error})") from error
        except _NoPolicyServer as error:
            raise UserError(str(error)) from error
        except (OSError, WebSocketException, ValueError) as error:  # ValueError: of the url
            raise UserError(f"{url}: no policy server can be reached ({error})") from error

    def __call__(self, image: list[list[Frame]], state: np.ndarray | None = None, prefix: Any = None) -> RemoteOutput:
        """The chunk for one history of observations.

        Args:
            image: a list of one list of the last `n_obs_steps` frames, the latest last.
            state: (1, n_obs_steps, state_dim), in the units of the settings.
            prefix: the actions that are committed, as a pipeline takes them: (n, action_dim) or (1, n, action_dim), n
                up to the settings' `max_prefix`.

        Raises:
            ConnectionError: the server is gone, or its answer is damaged; the next call tries to reach it again.
            TimeoutError: it does not answer in time.
            UserError: a prefix that no pipeline with these settings takes, or the server could not make actions of
                this, and says why.
        """
        (history,) = image
        states = None if state is None else np.asarray(state[0], dtype=np.float32)
        committed = {}
        if prefix is not None:
            (committed["prefix"],) = spread_prefix(as_float32(prefix, "prefix"), self.settings, 1)
        request = pack({"images": [self._prepare(frame) for frame in history], "state": states, **committed})
        try:
            if self._connection is None:
                self._connection, settings = self._connect()
                if settings != self.settings:
                    raise UserError(f"{self.url} serves another policy now: start again")
            self._connection.send(request)
            reply = self._understood(self._connection.recv(self._timeout))
        except TimeoutError:
            self.close()  # or its late answer would be taken for the next one's
            raise TimeoutError(f"{self.url} has not answered within {self._timeout:g} s") from None
        except (OSError, WebSocketException) as error:
            self.close()
            raise ConnectionError(f"{self.url}: {error}") from error
        if isinstance(reply, str):
            raise UserError(f"{self.url}: {reply}")
        return reply

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _understood(self, message: bytes | str) -> RemoteOutput | str:
        """What a server's message holds: actions, or why there are none."""
        try:
            reply = unpack(message)
        except ValueError as error:
            raise ConnectionError(f"the answer is damaged ({error})") from error
        if reply.keys() == {"error"} and isinstance(reply["error"], str):
            return reply["error"]
        actions, seconds = reply.get("actions"), reply.get("inference_time")
        shape = np.shape(actions) if isinstance(actions, np.ndarray) else ()
        if len(shape) != 3 or shape[::2] != (1, self.settings.action_dim) or not isinstance(seconds, float):
            raise ConnectionError(f"the answer is damaged: actions of shape {shape}")
        return RemoteOutput(np.asarray(actions, np.float32), seconds)

    def _connect(self) -> tuple[ClientConnection, PolicySettings]:
        connection = connect(
            self.url,
            additional_headers=self._headers,
            open_timeout=self._timeout,
            close_timeout=1,
            max_size=MAX_MESSAGE_BYTES,
            compression=None,
            proxy=None,
        )
        try:
            greeting = unpack(connection.recv(self._timeout))
            if greeting["protocol_version"] != PROTOCOL_VERSION:
                raise ValueError(f"it speaks version {greeting['protocol_version']}")
            return connection, PolicySettings.from_message(greeting["settings"])
        except (OSError, WebSocketException):
            connection.close()
            raise
        except (ValueError, KeyError) as error:
            connection.close()
            raise _NoPolicyServer(
                f"{self.url} is no policy server of this version of dp_hf ({error!s:.300})"
            ) from error

    def _prepare(self, frame: Frame) -> Frame:
        """Resized here as the policy would there, so that less goes over the network."""
        if isinstance(frame, dict):
            return {camera: _resize(image, self.settings.image_size) for camera, image in frame.items()}
        return _resize(frame, self.settings.image_size)


def _resize(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    height, width = size
    return np.asarray(resize(as_pil(image), (height, width)))
