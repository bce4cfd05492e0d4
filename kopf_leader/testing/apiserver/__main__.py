"""The embedded API server as a process: ``python -m kopf_leader.testing.apiserver --kubeconfig PATH``.

Prints its URL on one line when it serves, and serves until SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from kopf_leader.testing.apiserver.server import EmbeddedAPIServer


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kopf_leader.testing.apiserver", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free port")
    parser.add_argument("--kubeconfig", type=Path, help="write a kubeconfig here, with the first token")
    parser.add_argument("--namespace", default="default", help="the namespace in the kubeconfig")
    parser.add_argument(
        "--token",
        action="append",
        default=[],
        metavar="TOKEN:USER",
        help="accept this token, as a user who may do everything (may be repeated)",
    )
    parser.add_argument(
        "--anonymous-admin",
        action="store_true",
        help="requests without a token may do everything: kubectl sends none over plain HTTP",
    )
    return parser.parse_args(argv)


async def _serve(arguments: argparse.Namespace) -> None:
    server = EmbeddedAPIServer(host=arguments.host, port=arguments.port, anonymous_admin=arguments.anonymous_admin)
    tokens = [text.partition(":")[::2] for text in arguments.token]
    for token, user in tokens:
        server.add_user(user or token, token=token)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    async with server:
        if arguments.kubeconfig is not None:
            first = tokens[0][0] if tokens else None
            server.write_kubeconfig(arguments.kubeconfig, token=first, namespace=arguments.namespace)
        print(server.url, flush=True)  # noqa: T201 - what the caller waits for
        await over.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; exit status 1 when the port is taken."""
    arguments = _arguments(argv)
    try:
        asyncio.run(_serve(arguments))
    except OSError as error:
        print(f"The API server cannot listen: {error}. Choose another --port.", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
