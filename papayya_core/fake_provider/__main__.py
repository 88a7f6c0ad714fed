"""Run the stand-in: ``python -m papayya_core.fake_provider --help``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from threading import Thread

from papayya_core.fake_provider.faults import BadFault, Rule
from papayya_core.fake_provider.ledger import Ledger, LedgerError
from papayya_core.fake_provider.limits import BadLimit, from_specs
from papayya_core.fake_provider.prices import listed
from papayya_core.fake_provider.provider import Latency, Provider
from papayya_core.fake_provider.rules import rates, read_rules
from papayya_core.fake_provider.server import Server

DRAIN_S = 2.0


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 2 stands for a mistake in the arguments, 1 for a failure."""
    options = _parser().parse_args(argv)
    if options.prices:
        print(json.dumps(listed(), indent=1))
        return 0
    try:
        provider = _provider(options)
        server = Server(options.host, options.port, provider)
    except (BadFault, BadLimit) as wrong:
        return _fail(str(wrong), 2)
    except LedgerError as wrong:
        return _fail(str(wrong), 1)
    except OSError as wrong:
        where = f"{options.host}:{options.port}"
        return _fail(f"can't listen on {where} ({wrong}): give --port 0 for any free port", 1)
    return _serve(server, options.port_file)


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="fake-provider",
        description="Answer like OpenAI, Anthropic, Google and Amazon Bedrock: deterministic, at no"
        " cost, with faults.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port to listen on (default: any free one)")
    add("--port-file", type=Path, metavar="PATH", help="write the port there once it listens")
    add("--ledger", type=Path, metavar="PATH", help="keep the ledger there (default: in memory)")
    add("--fsync", action="store_true", help="bring each entry to the disk before answering")
    add("--seed", type=int, default=0, help="answers and faults follow from it (default: 0)")
    add(
        "--latency-ms",
        type=_latency,
        default=Latency(),
        metavar="A[:B]",
        help="time to an answer, from A to B milliseconds (default: 0)",
    )
    add(
        "--fault-rate",
        action="append",
        default=[],
        metavar="KIND=RATE[;NAME=VALUE...]",
        help="a fault for a share of the requests, e.g. rate_limit=0.01 (may be repeated)",
    )
    add("--faults", type=Path, metavar="FILE", help="fault rules as JSON")
    add(
        "--limit",
        action="append",
        default=[],
        metavar="UNIT=N[,UNIT=N...][,key=KEY][,model=MODEL]",
        help="a rate limit per API key and minute, e.g. requests=60,tokens=10000; units are"
        " requests, tokens, input_tokens and output_tokens (may be repeated)",
    )
    add("--gzip", action="store_true", help="answer in gzip whoever accepts it")
    add("--prices", action="store_true", help="print the price table as JSON, and end")
    return parser


def _latency(text: str) -> Latency:
    """Read A[:B]."""
    least, _, most = text.partition(":")
    try:
        latency = Latency(float(least), float(most or least))
    except ValueError:
        latency = Latency(-1)
    if not 0 <= latency.least <= latency.most:
        raise argparse.ArgumentTypeError(f"{text!r} is not A or A:B in milliseconds")
    return latency


def _provider(options: argparse.Namespace) -> Provider:
    """Make the stand-in that the command line describes."""
    rules = _rules(options.faults) + rates(options.fault_rate)
    limits = from_specs(options.limit)
    ledger = Ledger(options.ledger, fsync=options.fsync)
    return Provider(
        ledger, options.seed, options.latency_ms, tuple(rules), gzip=options.gzip, limits=limits
    )


def _rules(path: Path | None) -> list[Rule]:
    """Read the file of fault rules."""
    if path is None:
        return []
    try:
        return read_rules(json.loads(path.read_bytes()))
    except (OSError, ValueError) as wrong:
        raise BadFault(f"--faults {path}: {wrong}") from wrong


def _serve(server: Server, port_file: Path | None) -> int:
    """Serve until told to stop; a vanished terminal is no such order."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    orders = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, orders)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    if port_file is not None:
        port_file.parent.mkdir(parents=True, exist_ok=True)
        fresh = port_file.with_name(f"{port_file.name}.new")
        fresh.write_text(f"{server.server_port}\n")
        fresh.replace(port_file)
    print(f"fake-provider listening on {server.url}", flush=True)
    signal.sigwait(orders)
    server.shutdown()
    server.drain(DRAIN_S)
    return 0


def _fail(message: str, code: int) -> int:
    """Say what went wrong."""
    print(f"fake-provider: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
