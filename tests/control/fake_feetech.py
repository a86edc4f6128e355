"""Feetech motors (STS3215) of an SO-101 at the other end of a pseudo-terminal."""

import os
import pty
import select
import threading
import tty

PING, READ, WRITE, SYNC_READ, SYNC_WRITE = 1, 2, 3, 0x82, 0x83
GOAL, PRESENT = 42, 56  # addresses of two bytes
CENTRE = 2048


class FakeFeetech:
    """Context manager. Six motors with 4096 steps a turn, which are at their goal at once.

    Attributes:
        port: the serial port to open.
        memory: id -> its bytes.
        goals: id -> goals that it was given, in steps.
        answering: whether they answer.
    """

    def __init__(self):
        self.ours, self.theirs = pty.openpty()
        tty.setraw(self.ours)
        tty.setraw(self.theirs)
        self.port = os.ttyname(self.theirs)
        self.memory = {number: bytearray(128) for number in range(1, 7)}
        self.goals = {number: [] for number in self.memory}
        for memory in self.memory.values():
            memory[0:2] = 3, 10  # firmware
            memory[3:5] = (777).to_bytes(2, "little")  # model
            memory[9:11], memory[11:13] = (0).to_bytes(2, "little"), (4095).to_bytes(2, "little")  # position limits
            memory[PRESENT : PRESENT + 2] = CENTRE.to_bytes(2, "little")
        self.answering = self.running = True
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self) -> "FakeFeetech":
        self.thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self.running = False
        self.thread.join()
        os.close(self.ours)
        os.close(self.theirs)

    def serve(self) -> None:
        received = b""
        while self.running:
            if not select.select([self.ours], [], [], 0.05)[0]:
                continue
            received += os.read(self.ours, 4096)
            while len(received) >= 4 and len(received) >= 4 + received[3]:
                packet, received = received[: 4 + received[3]], received[4 + received[3] :]
                assert packet[:2] == b"\xff\xff"
                assert checksum(packet[2:-1]) == packet[-1]
                self.obey(packet[2], packet[4], packet[5:-1])

    def obey(self, number: int, instruction: int, parameters: bytes) -> None:
        if instruction == PING:
            self.answer(number, b"")
        elif instruction == READ:
            self.answer(number, self.memory[number][parameters[0] : parameters[0] + parameters[1]])
        elif instruction == WRITE:
            self.write(number, parameters[0], parameters[1:])
            self.answer(number, b"")
        elif instruction == SYNC_READ:
            for each in parameters[2:]:
                self.answer(each, self.memory[each][parameters[0] : parameters[0] + parameters[1]])
        elif instruction == SYNC_WRITE:
            address, length = parameters[:2]
            for start in range(2, len(parameters), length + 1):
                self.write(parameters[start], address, parameters[start + 1 : start + 1 + length])

    def write(self, number: int, address: int, data: bytes) -> None:
        self.memory[number][address : address + len(data)] = data
        if address == GOAL:
            self.goals[number].append(int.from_bytes(data[:2], "little"))
            self.memory[number][PRESENT : PRESENT + 2] = data[:2]

    def answer(self, number: int, data: bytes) -> None:
        if self.answering and number in self.memory:
            body = bytes([number, len(data) + 2, 0]) + data
            os.write(self.ours, b"\xff\xff" + body + bytes([checksum(body)]))


def checksum(body: bytes) -> int:
    return ~sum(body) & 0xFF
