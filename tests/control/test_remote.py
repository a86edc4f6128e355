import itertools
import pickle
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from control_fakes import HOME, FakeClock, FakeExecutor, FakeRobot
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("websockets")
pytest.importorskip("msgpack")

import msgpack
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve as websockets_serve

from dp_hf.arms.mycobot_280 import MYCOBOT_280, QUANTITIES
from dp_hf.control.controller import Controller
from dp_hf.control.policy_settings import PolicySettings
from dp_hf.control.remote.client import RemotePolicy
from dp_hf.control.remote.messages import PROTOCOL_VERSION, pack, unpack
from dp_hf.control.remote.server import MAX_ENTERING, PolicyServer
from dp_hf.errors import UserError

SETTINGS = PolicySettings(
    **{"fps": 10.0, "n_obs_steps": 2, "n_action_steps": 4, "temporal_ensemble": None, "horizon": 8},
    **{"camera_names": ["image"], "image_size": [24, 42], "use_proprioception": True},
    **{"state_dim": 7, "state_names": list(QUANTITIES.names), "state_units": list(QUANTITIES.units)},
    **{"action_dim": 7, "action_names": list(QUANTITIES.names), "action_units": list(QUANTITIES.units)},
)


def echo(image, state):
    """Actions that tell what was received: the states' mean, and the first pixel."""
    (frames,) = image
    actions = np.zeros((1, 8, 7), dtype=np.float32)
    actions[0] = state.mean((0, 1))
    actions[0, 1] = frames[-1][0, 0, 0]
    return SimpleNamespace(actions=actions)


def test_committed_actions_reach_the_policy(serve):
    told = []

    def policy(image, state, prefix=None):
        told.append(prefix)
        return echo(image, state)

    remote = RemotePolicy(url(serve(policy, replace(SETTINGS, max_prefix=3))))
    assert remote.settings.max_prefix == 3
    frames, state = [[np.zeros((24, 42, 3), np.uint8)] * 2], np.zeros((1, 2, 7))
    committed = np.arange(14).reshape(2, 7) / 7
    remote(frames, state)
    remote(frames, state, prefix=committed)
    remote.close()
    assert told[0] is None
    np.testing.assert_array_equal(told[1], committed.astype(np.float32))
    with pytest.raises(UserError, match="max_prefix 8"):
        PolicySettings.from_message(asdict(SETTINGS) | {"max_prefix": 8})


def test_a_prefix_is_taken_and_refused_as_here(serve, make_pipeline, frame):
    torch = pytest.importorskip("torch")
    pipeline = make_pipeline(horizon=4, max_prefix=2)
    settings = PolicySettings.from_config(pipeline.policy.config)

    def seeded(*arguments, **given):
        return pipeline(*arguments, **given, generator=torch.Generator().manual_seed(0))

    remote = RemotePolicy(url(serve(seeded, settings)))
    for prefix in (HOME[None], [HOME, HOME], np.array([[HOME, HOME + 1]]), np.empty((0, 7))):
        expected = seeded([[frame]], prefix=prefix).actions
        np.testing.assert_array_equal(remote([[frame]], prefix=prefix).actions, expected)
    wrong = ["x", HOME, np.zeros((1, 6)), np.zeros((2, 1, 7)), np.zeros((3, 7)), np.full((1, 7), np.nan), [[1], [2, 3]]]
    for prefix in wrong:
        with pytest.raises(UserError) as here:
            pipeline([[frame]], prefix=prefix)
        with pytest.raises(UserError) as there:
            remote([[frame]], prefix=prefix)
        assert str(there.value) == str(here.value)
    remote.close()


@pytest.fixture
def serve():
    """A function that starts a server and returns it."""
    servers = []

    def start(policy=echo, settings=SETTINGS, **kwargs) -> PolicyServer:
        server = PolicyServer(policy, settings, **{"port": 0, **kwargs})
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()


def url(server: PolicyServer) -> str:
    return f"ws://127.0.0.1:{server.port}"


def test_a_pipeline_answers_as_it_would_here(serve, make_pipeline, frame):
    torch = pytest.importorskip("torch")
    pipeline = make_pipeline(horizon=4, n_obs_steps=2, use_proprioception=True)
    settings = PolicySettings.from_config(pipeline.policy.config)

    def seeded(generator_seed=0):
        return partial(pipeline, generator=torch.Generator().manual_seed(generator_seed))

    server = serve(seeded(), settings)
    remote = RemotePolicy(url(server))
    assert remote.settings == settings
    frames, states = [frame, 255 - frame], np.stack([HOME, HOME + 1])[None]
    expected = seeded()([frames], state=states).actions
    output = remote([frames], state=states)
    np.testing.assert_array_equal(output.actions, expected)
    assert output.actions.shape == (1, 4, 7)
    assert 0 < output.inference_time < 5
    with pytest.raises(UserError, match="observes 2 frames"):
        remote([[frame]], state=states)
    np.testing.assert_array_equal(remote([frames], state=states).actions.shape, expected.shape)
    remote.close()


def test_names_and_units_cross_the_wire(serve):
    remote = RemotePolicy(url(serve()))
    assert remote.settings == SETTINGS
    assert remote.settings.action_units == QUANTITIES.units
    remote.close()


def test_a_server_from_before_names_is_refused(serve, monkeypatch):
    monkeypatch.setattr("dp_hf.control.remote.server.PROTOCOL_VERSION", 1)
    with pytest.raises(UserError, match="it speaks version 1"):
        RemotePolicy(url(serve()))


def test_the_client_needs_no_torch(serve):
    server = serve()
    program = f"""
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "diffusers", "timm", "datasets", "accelerate"):
            raise ImportError(name + " is not on this computer")
sys.meta_path.insert(0, NoTorch())
import numpy as np
import dp_hf.cli.run_policy
import dp_hf.control.recorder
import dp_hf.control.robots.ros2
from dp_hf.control.controller import Controller
from dp_hf.control.remote.client import RemotePolicy
remote = RemotePolicy("{url(server)}")
frame = np.full((240, 424, 3), 7, np.uint8)
actions = remote([[frame, frame]], state=np.full((1, 2, 7), 3.0)).actions
remote.close()
print(actions[0, 0, 0], actions[0, 1, 0])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "3.0 7.0\n", done.stderr


def test_a_controller_drives_with_it(serve):
    server = serve(lambda image, state: SimpleNamespace(actions=state[:, -1:] + np.full((1, 8, 7), 0.5, np.float32)))
    clock = FakeClock()
    robot = FakeRobot(clock)
    remote = RemotePolicy(url(server))
    controller = Controller(
        robot, remote, MYCOBOT_280.limits, n_obs_steps=2, clock=clock, executor=FakeExecutor(clock, latency=0.03)
    )
    controller.run(duration=1)
    assert controller.report.chunks >= 9
    assert robot.state[0] > 1
    remote.close()


class Attack:
    def __reduce__(self):
        return sys.exit, (1,)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (pickle.dumps(Attack()), ""),
        (b"", ""),
        ("text", "binary"),
        (msgpack.packb([1, 2]), "a message is a map"),
        (pack({"images": []}), "a request has images"),
        (pack({"images": 3, "state": None}), "a request has images"),
        (pack({"images": [{"dtype": "object", "shape": [1], "data": b"12345678"}], "state": None}), "an array holds"),
        (pack({"images": [{"dtype": "uint8", "shape": [2, 2], "data": b"123"}], "state": None}), "reshape"),
        (pack({"images": [{"dtype": "uint8", "shape": [-1], "data": b"123"}], "state": None}), "no array's shape"),
        (pack({"images": [{"dtype": "uint8", "shape": "x", "data": b"123"}], "state": None}), "no array's shape"),
        (b"\x91" * 5000, ""),
        (pack({"images": ["/etc/hostname"], "state": None}), "a frame is an array"),
        (pack({"images": [{"front": "/etc/hostname"}], "state": None}), "a frame is an array"),
        (pack({"images": [np.zeros((2, 2, 3), np.float32)], "state": None}), "a frame is an array"),
        (pack({"images": [np.zeros((0, 2, 3), np.uint8)], "state": None}), "a frame is an array"),
        (pack({"images": [np.zeros((2, 2), np.uint8)], "state": None}), "a frame is an array"),
        (pack({"images": [np.zeros((2, 2, 3), np.uint8)], "state": "/etc/hostname"}), "state is an array"),
        (pack({"images": [np.zeros((2, 2, 3), np.uint8)], "state": [1.0]}), "state is an array"),
        (pack({"images": [np.zeros((2, 2, 3), np.uint8)], "state": None, "prefix": [[1.0]]}), "prefix is an array"),
        (pack({"images": [], "state": None, "path": "/etc/hostname"}), "a request has images"),
        (b"\x91" + b"\xdd\x03\x93\x87\x00" + b"\x90" * 60_000_000, "exceeds"),
        (b"\xdc\x03\xff" + (b"\xdc\x03\xff" + b"\x90" * 1023) * 1023, "a message holds at most"),
        (msgpack.packb({str(i): i for i in range(5000)}), "exceeds"),
    ],
    ids=itertools.count(),  # a name made of the messages has 240 MB
)
def test_a_bad_message_is_answered_with_its_fault_and_the_next_is_served(serve, message, fault):
    server = serve()
    with connect(url(server), proxy=None) as connection:
        connection.recv(5)
        connection.send(message)
        reply = unpack(connection.recv(5))
        assert reply.keys() == {"error"}
        assert fault in reply["error"]
        connection.send(pack({"images": [np.zeros((2, 2, 3), np.uint8)], "state": np.zeros((1, 7), np.float32)}))
        assert unpack(connection.recv(5)).keys() == {"actions", "inference_time"}


@pytest.mark.parametrize("garbage", [b"", b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(200)])
def test_garbage_and_clients_that_vanish_write_a_line_at_most(serve, garbage, capfd, caplog):
    caplog.set_level("INFO")
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port)) as stranger:
        stranger.sendall(garbage)
    client = connect(url(server), proxy=None)
    client.recv(5)
    client.socket.shutdown(socket.SHUT_RDWR)
    give_up = time.monotonic() + 5
    while "connected" not in caplog.text or server._clients:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    for record in caplog.records:
        assert record.exc_info is None
        assert "\n" not in record.getMessage()
    assert len([record for record in caplog.records if record.name.startswith("dp_hf")]) == 2  # it came, and has left
    assert len([record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]) <= 1
    assert "Traceback" not in capfd.readouterr().err
    client.close()


def test_connections_that_say_nothing_are_capped_and_the_token_bearer_gets_in_after(serve):
    server = serve(token="secret")
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(MAX_ENTERING + 20)]
    for connection in silent:
        connection.setblocking(False)

    def num_turned_away() -> int:
        return sum(_is_closed(connection) for connection in silent)

    give_up = time.monotonic() + 5
    while num_turned_away() < 20:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert num_turned_away() == 20
    for connection in silent:
        connection.close()
    time.sleep(0.3)
    RemotePolicy(url(server), "secret").close()


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@contextmanager
def false_server(greeting, answer):
    """Its address; it says `greeting`, and `answer` to whatever it is asked."""

    def speak(connection):
        with suppress(ConnectionClosed):
            connection.send(greeting)
            while True:
                connection.recv()
                connection.send(answer)

    with websockets_serve(speak, "127.0.0.1", 0, compression=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"


GREETING = {"protocol_version": PROTOCOL_VERSION, "settings": asdict(SETTINGS)}
FRAMES, STATES = [[np.zeros((24, 42, 3), np.uint8)] * 2], np.ones((1, 2, 7))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        "text",
        b"\xc1",
        pack({}),
        pack({"error": 3}),
        pack({"actions": "x", "inference_time": 0.1}),
        pack({"actions": np.zeros((1, 8, 6), np.float32), "inference_time": 0.1}),
        pack({"actions": np.zeros(7, np.float32), "inference_time": 0.1}),
        pack({"actions": np.zeros((1, 8, 7), np.float32), "inference_time": None}),
        pack({"actions": np.zeros((1, 8, 7), np.float32)}),
    ],
)
def test_a_damaged_answer_is_a_lost_connection(answer):
    with false_server(pack(GREETING), answer) as address:
        remote = RemotePolicy(address)
        for _ in range(2):
            with pytest.raises(ConnectionError, match="the answer is damaged"):
                remote(FRAMES, state=STATES)
        remote.close()


wrong_values = [None, -1, 0, 10**9, 1.5, float("nan"), "x", [], ["x"], [[1]], {"a": 1}, True, [-1, 5], [1e9, 3]]


@pytest.mark.parametrize("field", [*asdict(SETTINGS)])
def test_damaged_settings_are_refused_in_one_sentence(field):
    for value in wrong_values:
        settings = {**asdict(SETTINGS), field: value}
        with suppress(UserError):
            assert PolicySettings.from_message(settings).execution()
    for settings in (None, [], {"fps": 10}, {**asdict(SETTINGS), "more": 1}, "x"):
        with pytest.raises(UserError):
            PolicySettings.from_message(settings)


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        pack({}),
        pack({"protocol_version": PROTOCOL_VERSION}),
        pack(GREETING | {"settings": 1}),
        pack(GREETING | {"settings": GREETING["settings"] | {"image_size": [10**7, 10**7]}}),
        pack(GREETING | {"settings": GREETING["settings"] | {"fps": "10"}}),
        pack(GREETING | {"settings": GREETING["settings"] | {"n_action_steps": 99}}),
    ],
)
def test_a_damaged_greeting_is_one_sentence(greeting):
    with false_server(greeting, b"") as address, pytest.raises(UserError, match="is no policy server of this version"):
        RemotePolicy(address)


@pytest.mark.parametrize(
    "address", ["nothing", "ws://host:999999", "http://127.0.0.1:1", "ws://", "ws://\x00", "ws://a..b"]
)
def test_an_address_that_is_none_is_an_error(address):
    with pytest.raises(UserError, match="no policy server can be reached"):
        RemotePolicy(address, timeout=2)


@given(st.binary(max_size=200))
def test_whatever_arrives_unpacks_to_a_map_or_a_value_error(data):
    try:
        assert isinstance(unpack(data), dict)
    except ValueError:
        return


def test_a_policy_that_fails_is_reported_and_does_not_end_the_server(serve):
    def broken(image, state):
        raise RuntimeError("out of memory")

    server = serve(broken)
    remote = RemotePolicy(url(server))
    observation = [[np.zeros((24, 42, 3), np.uint8)] * 2]
    for _ in range(2):
        with pytest.raises(UserError, match="RuntimeError: out of memory"):
            remote(observation, state=np.zeros((1, 2, 7)))
    remote.close()


def test_without_the_token_nobody_gets_in(serve):
    server = serve(token="secret")
    for token in (None, "wrong", "secrets"):
        with pytest.raises(UserError, match="is the token right"):
            RemotePolicy(url(server), token)
    remote = RemotePolicy(url(server), "secret")
    assert remote.settings == SETTINGS
    remote.close()


def test_web_pages_are_refused(serve):
    server = serve()
    with pytest.raises(InvalidStatus, match="403"):
        connect(url(server), origin="http://evil.example", proxy=None)


def test_a_public_address_needs_a_token():
    with pytest.raises(UserError, match="give a token"):
        PolicyServer(echo, SETTINGS, host="0.0.0.0", port=0)


def test_a_taken_port_is_an_error(serve):
    server = serve()
    with pytest.raises(UserError, match="--port"):
        PolicyServer(echo, SETTINGS, port=server.port)


def test_no_server_is_an_error():
    with pytest.raises(UserError, match="no policy server can be reached"):
        RemotePolicy("ws://127.0.0.1:1", timeout=2)


def test_a_lost_server_is_found_again(serve):
    server = serve()
    remote = RemotePolicy(url(server))
    frames, states = [[np.zeros((24, 42, 3), np.uint8)] * 2], np.ones((1, 2, 7))
    remote(frames, state=states)
    server.shutdown()
    with pytest.raises(ConnectionError):
        remote(frames, state=states)
    serve(port=server.port)
    assert remote(frames, state=states).actions[0, 0, 0] == 1
    remote.close()


def test_a_late_answer_is_not_taken_for_the_next(serve):
    slow = threading.Event()

    def policy(image, state):
        if not slow.is_set():
            slow.set()
            time.sleep(0.6)
        return echo(image, state)

    remote = RemotePolicy(url(serve(policy)), timeout=0.3)
    frames = [[np.zeros((24, 42, 3), np.uint8)] * 2]
    with pytest.raises(TimeoutError):
        remote(frames, state=np.full((1, 2, 7), 1.0))
    time.sleep(0.5)
    assert remote(frames, state=np.full((1, 2, 7), 2.0)).actions[0, 0, 0] == 2
    remote.close()


def test_shutdown_answers_the_request_under_way_and_disconnects_every_client(serve, caplog):
    asked = threading.Event()

    def slow(image, state):
        asked.set()
        time.sleep(0.5)
        return echo(image, state)

    server = serve(slow)
    frames, states = [[np.zeros((24, 42, 3), np.uint8)] * 2], np.ones((1, 2, 7))
    idle, busy = RemotePolicy(url(server)), RemotePolicy(url(server))
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(busy, frames, state=states)
        assert asked.wait(5)
        server.shutdown()
        assert answer.result(5).actions[0, 0, 0] == 1
    for remote in (idle, busy):
        with pytest.raises(ConnectionError):
            remote(frames, state=states)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_clients_that_vanished_do_not_hold_up_the_end(serve, monkeypatch):
    server = serve()
    clients = [connect(url(server), proxy=None) for _ in range(3)]
    for client in clients:
        client.recv(5)
        # A computer without power acknowledges nothing, nor does it close its end.
        monkeypatch.setattr(client.protocol, "receive_data", lambda data: None)
    start = time.monotonic()
    server.shutdown()
    assert time.monotonic() - start < 3
    for client in clients:
        client.close()
