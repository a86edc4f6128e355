"""Cameras that are unplugged, as streams that end."""

import io
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from dp_hf.control.camera import CameraConfig, OpenCvCamera
from dp_hf.errors import RunFailed

pytest.importorskip("cv2")


def wait_for(condition, seconds=60.0):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


class UnpluggedCamera(ThreadingHTTPServer):
    """A camera as a stream of JPEG pictures, `sizes[n]` at its n-th connection, which ends while it is unplugged."""

    daemon_threads = True

    def __init__(self, *sizes):
        super().__init__(("127.0.0.1", 0), Stream)
        self.sizes, self.plugged = iter(sizes), threading.Event()
        self.plugged.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.source = f"http://127.0.0.1:{self.server_port}/camera.mjpg"


class Stream(BaseHTTPRequestHandler):
    def do_GET(self):
        if not self.server.plugged.is_set():
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        size = next(self.server.sizes)
        with suppress(OSError):
            while self.server.plugged.is_set():
                picture = io.BytesIO()
                Image.effect_noise(size, 50).save(picture, "JPEG")
                length = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {picture.tell()}\r\n\r\n"
                self.wfile.write(length.encode() + picture.getvalue() + b"\r\n")
                time.sleep(0.02)

    def log_message(self, *_):
        pass


def test_a_camera_that_was_unplugged_is_opened_again(caplog):
    plug = UnpluggedCamera((84, 48), (84, 48))
    camera = OpenCvCamera(CameraConfig(plug.source, width=84, height=48))
    wait_for(lambda: camera.read() is not None)
    plug.plugged.clear()
    wait_for(lambda: "trying to open it again" in caplog.text)
    last = camera.read()
    plug.plugged.set()
    wait_for(lambda: camera.read().timestamp > last.timestamp)
    assert "is back" in caplog.text
    assert len(caplog.records) == 2
    camera.close()


def test_another_camera_in_its_place_ends_the_run():
    plug = UnpluggedCamera((84, 48), (64, 48))
    camera = OpenCvCamera(CameraConfig(plug.source, width=84, height=48))

    def refused():
        try:
            camera.read()
        except RunFailed as error:
            return "gives 64x48, not the 84x48 asked for" in str(error)

    plug.plugged.clear()
    time.sleep(0.1)
    plug.plugged.set()
    wait_for(refused)
    camera.close()
