"""The firmware of a myCobot 280 at the other end of a pseudo-terminal."""

import os
import pty
import select
import struct
import threading
import time
import tty

import numpy as np

GET_ANGLES, SEND_ANGLES, SET_FRESH_MODE, RELEASE_SERVOS, FOCUS_SERVO = 0x20, 0x22, 0x16, 0x13, 0x57
GET_GRIPPER, SET_GRIPPER = 0x65, 0x67
LENGTHS = {GET_ANGLES: 0, SEND_ANGLES: 13, SET_FRESH_MODE: 1, RELEASE_SERVOS: 0, FOCUS_SERVO: 1}
LENGTHS |= {GET_GRIPPER: 0, SET_GRIPPER: 2}


class FakeMyCobot:
    """Context manager. Answers questions, moves at once where it is told, and notes every frame and every fault in one.

    Attributes:
        port: the serial port to open.
        angles, gripper: where the arm is.
        commands: (time, six angles in degrees, speed) in order.
        grippers: values commanded.
        settings: other commands received.
        illegal: what came in that is no legal frame.
        answering: whether questions are answered.
    """

    def __init__(self):
        self.ours, theirs = pty.openpty()
        tty.setraw(self.ours)
        tty.setraw(theirs)
        self.theirs = theirs
        self.port = os.ttyname(theirs)
        self.angles, self.gripper = np.zeros(6), 50
        self.commands, self.grippers, self.settings, self.illegal = [], [], [], []
        self.answering = True
        self.running = True
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self) -> "FakeMyCobot":
        self.thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self.running = False
        self.thread.join()
        self.unplug()

    def unplug(self) -> None:
        for end in (self.ours, self.theirs):
            if end is not None:
                os.close(end)
        self.ours = self.theirs = None

    def serve(self) -> None:
        received = b""
        while self.running:
            if select.select([self.ours], [], [], 0.02)[0]:
                received = self.take_frames(received + os.read(self.ours, 4096))

    def take_frames(self, received: bytes) -> bytes:
        while len(received) >= 5:
            end = received[2] + 3
            if len(received) < end:
                break
            frame, received = received[:end], received[end:]
            payload = frame[4:-1]
            if frame[:2] != b"\xfe\xfe" or frame[-1] != 0xFA or LENGTHS.get(frame[3]) != len(payload):
                self.illegal.append(frame.hex(" "))
                return b""
            self.obey(frame[3], payload)
        return received

    def obey(self, command: int, payload: bytes) -> None:
        if command == SEND_ANGLES:
            angles = np.array(struct.unpack(">6h", payload[:12])) / 100
            if not 1 <= payload[12] <= 100:
                self.illegal.append(f"speed {payload[12]}")
            self.commands.append((time.monotonic(), angles, payload[12]))
            self.angles = angles
        elif command == SET_GRIPPER:
            if not payload[0] <= 100:
                self.illegal.append(f"gripper {payload[0]}")
            self.gripper = payload[0]
            self.grippers.append(payload[0])
        elif command == GET_ANGLES:
            self.answer(command, struct.pack(">6h", *np.round(100 * self.angles).astype(int)))
        elif command == GET_GRIPPER:
            self.answer(command, bytes([self.gripper]))
        else:
            self.settings.append((command, payload))
            self.answer(command, b"\x01")

    def answer(self, command: int, payload: bytes) -> None:
        if self.answering:
            os.write(self.ours, b"\xfe\xfe" + bytes([len(payload) + 2, command]) + payload + b"\xfa")
