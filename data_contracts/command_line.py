"""The one shape of every command line: `python -m <folder> <verb> [--result FILE]`.

A verb is declared with light arguments and the name of the function that does it, so that
`--help` imports nothing heavy. The function returns plain JSON types; errors end the process
with the exit codes of `data_contracts.errors`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import Settings, load_settings
from data_contracts.errors import EXIT_DONE, EXIT_FAILED, WeirError
from data_contracts.files import write_atomically

Declare = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace, Settings], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Verb:
    """`target` is `module:function`, imported only when the verb runs."""

    name: str
    summary: str
    target: str
    declare: Declare = lambda _parser: None

    def load(self) -> Run:
        module, _, function = self.target.partition(":")
        run: Run = getattr(importlib.import_module(module), function)
        return run


def main(
    folder: str, summary: str, verbs: Sequence[Verb], argv: Sequence[str] | None = None
) -> int:
    """Parse, run one verb, write its result, and return the exit code."""
    arguments = _parser(folder, summary, verbs).parse_args(argv)
    verb: Verb = arguments.verb
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # commands speak in their own words; tests see warnings
    try:
        result = verb.load()(arguments, load_settings())
        if result is not None or arguments.result is not None:
            _write_result(result or {}, arguments.result)
    except WeirError as error:
        _say(f"{folder} {verb.name}: {error}")
        return error.exit_code
    except BrokenPipeError:
        return EXIT_DONE
    except KeyboardInterrupt:
        _say(f"{folder} {verb.name}: interrupted")
        return 130
    except Exception:  # the last line of defence: an unforeseen error is a failure to retry
        traceback.print_exc()
        _say(f"{folder} {verb.name}: failed unexpectedly; the trace above says where")
        return EXIT_FAILED
    return EXIT_DONE


def _parser(folder: str, summary: str, verbs: Sequence[Verb]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {folder}", description=summary)
    commands = parser.add_subparsers(metavar="verb", required=True)
    for verb in verbs:
        command = commands.add_parser(verb.name, help=verb.summary, description=verb.summary)
        verb.declare(command)
        command.add_argument(
            "--result", type=Path, metavar="FILE", help="write the result as JSON to FILE"
        )
        command.set_defaults(verb=verb)
    return parser


def _write_result(result: Mapping[str, Any], path: Path | None) -> None:
    encoded = orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
    if path is None:
        sys.stdout.buffer.write(encoded + b"\n")
        sys.stdout.flush()
        return
    write_atomically(path, encoded)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
