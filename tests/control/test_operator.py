import io
import os
import pty
import signal
import termios

import pytest

from dp_hf.control.operator import Keyboard, on_signals
from dp_hf.control.recorder import Orders
from dp_hf.errors import RunFailed


@pytest.fixture
def terminal(monkeypatch):
    """The keyboard's end of a terminal that standard input is connected to, and that terminal."""
    keyboard, screen = pty.openpty()
    with open(screen, closefd=True) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield keyboard, screen
    os.close(keyboard)


def test_keys_come_one_by_one_without_enter_and_the_terminal_is_restored(terminal):
    keyboard, screen = terminal
    before = termios.tcgetattr(screen)
    with Keyboard() as keys:
        assert keys.pressed() is None
        os.write(keyboard, b" q")
        assert [keys.pressed(), keys.pressed(), keys.pressed()] == [" ", "q", None]
        assert termios.tcgetattr(screen) != before
    assert termios.tcgetattr(screen) == before


def test_without_a_terminal_there_are_no_keys(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("q"))
    with Keyboard() as keys:
        assert keys.pressed() is None


def test_orders_come_from_keys_and_from_elsewhere_in_turn():
    keys = iter([" ", "x", None, "q"])
    orders = Orders(lambda: next(keys, None))
    orders.give("finish")
    assert [orders.next() for _ in range(5)] == ["finish", "toggle", None, "quit", None]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_handed_over_and_given_back(number):
    before = signal.getsignal(number)
    received = []
    with on_signals(received.append):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    assert received == [number.name] * 2
    assert signal.getsignal(number) == before


def test_a_key_is_waited_for_and_a_closed_terminal_ends_the_wait(monkeypatch):
    keyboard, screen = pty.openpty()
    with open(screen) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with Keyboard() as keys:
            assert keys.is_there
            os.write(keyboard, b"sq")
            assert [keys.wait(), keys.wait()] == ["s", "q"]
    os.close(keyboard)
    monkeypatch.setattr("sys.stdin", io.StringIO("q"))
    with Keyboard() as keys, pytest.raises(RunFailed, match="the terminal was closed"):
        keys.wait()
