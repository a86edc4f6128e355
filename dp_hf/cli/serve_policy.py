"""`dp-hf serve-policy`: let an arm whose computer cannot run torch use a policy over the network."""

import threading
from dataclasses import dataclass
from typing import Annotated

from dp_hf.cli.arguments import log_to_stderr, parse, run
from dp_hf.cli.policy_arguments import PolicyArguments
from dp_hf.errors import UserError
from dp_hf.ranges import Range


@dataclass(kw_only=True)
class ServePolicy(PolicyArguments):
    """Serve a pipeline to `dp-hf run-policy --remote ws://HOST:PORT` until Ctrl-C.

    The connection is not encrypted: outside a network that you trust, go through `ssh -L`.
    """

    pipeline: str
    """pipeline folder or Hub repository"""
    host: str = "127.0.0.1"
    """address to listen at; any other than this computer's own needs a token"""
    port: Annotated[int, Range(0, 65535)] = 8765
    """port to listen at; 0 takes a free one"""


def main(argv: list[str] | None = None) -> int:
    return run(serve, parse(ServePolicy, argv, "dp-hf serve-policy"))


def serve(arguments: ServePolicy) -> None:
    try:
        from dp_hf.control.remote.server import PolicyServer
    except ImportError as error:
        raise UserError(f"serving needs websockets and msgpack: pip install 'dp_hf[serve]' ({error})") from error
    from dp_hf.control.operator import on_signals
    from dp_hf.control.warm_up import warm_up
    from dp_hf.pipelines.execution import choose_rate

    log_to_stderr(arguments.verbose)
    policy, settings, _ = arguments.load_policy(arguments.pipeline)
    seconds = warm_up(policy, settings)
    server = PolicyServer(policy, settings, arguments.host, arguments.port, arguments.token())
    thread = threading.Thread(target=server.serve_forever)
    stopped = threading.Event()
    with on_signals(lambda name: stopped.set()):
        thread.start()
        print(f"serving {arguments.pipeline} at ws://{arguments.host}:{server.port}", flush=True)
        print(f"inference takes {1000 * seconds:.0f} ms; {choose_rate(settings)[1]}; stop with Ctrl-C", flush=True)
        stopped.wait()
        server.shutdown()
        thread.join()
