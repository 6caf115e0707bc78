"""`python -m training <verb>`: train, register, promote, approve; serve and read the registry."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path

from data_contracts.command_line import Verb, main


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", action="append", default=[], metavar="NAME|FILE.jsonl",
        help="a set of the catalogue, or a file of labelled events; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--lake-days", metavar="A..B", help="train on the labelled events of these days (or: all)"
    )
    parser.add_argument(
        "--trials", type=int, metavar="N", help="0 tries no search (default: training.trials)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: models/VERSION in the Weir home"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="default: training.seed")
    parser.add_argument(
        "--if-new-labels", action="store_true",
        help="exit 99 where fewer than training.minimum_new_labels are new",
    )  # fmt: skip
    parser.add_argument(
        "--tracking", action="store_true", help="log the run and its trials to MLflow"
    )
    parser.add_argument(
        "--fusion-tokens", type=Path, metavar="FILE",
        help="also write what the fusion learns from, for `fit-fusion`",
    )  # fmt: skip


def _fit_fusion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="the model that train wrote"
    )
    parser.add_argument(
        "--tokens", type=Path, required=True, metavar="FILE",
        help="what `train --fusion-tokens FILE` wrote beside it",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="the model with the new fusion"
    )
    parser.add_argument(
        "--checkpoints", type=Path, metavar="DIR",
        help="keep the state after each epoch, and go on from it (default: OUTPUT.checkpoints)",
    )  # fmt: skip
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="default: what the search of the training chose"
    )
    parser.add_argument(
        "--timeout", type=float, default=600.0, metavar="SECONDS",
        help="how long a process waits for the others (default: %(default)s)",
    )  # fmt: skip


def _quantise(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", action="append", default=[], metavar="NAME|FILE.jsonl",
        help="calibrate and judge on a set of the catalogue, or a file; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--lake-days", metavar="A..B", help="the labelled events of these days (or: all)"
    )


def _register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a trained model")
    parser.add_argument("--run-id", help="the MLflow run that trained it (default: a new run)")


def _promote(parser: argparse.ArgumentParser) -> None:
    _version(parser)
    parser.add_argument(
        "--gate", type=Path, action="append", required=True, metavar="FILE",
        help="a gate report (JSON); repeat for every gate",
    )  # fmt: skip
    parser.add_argument(
        "--waiver", type=Path, action="append", default=[], metavar="FILE",
        help="a signed waiver of evidence that a gate lacks (`training waiver sign`); repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--card", type=Path, metavar="FILE", help="the model card that `evaluation card` wrote"
    )


def _waiver(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("sign", "public-key"),
        help="sign with the key in WEIR_WAIVER_KEY, or show its public key for the configuration",
    )  # fmt: skip
    parser.add_argument("--version", metavar="V", help="sign: a version's number, or its alias")
    parser.add_argument("--gate", metavar="G", help="sign: the gate that lacks evidence")
    parser.add_argument("--figure", metavar="NAME", help="this figure only (default: the gate)")
    parser.add_argument("--slice", default="all", metavar="S", help="of the figure (default: all)")
    parser.add_argument("--reason", metavar="TEXT", help="sign: why, kept on record")
    parser.add_argument(
        "--until", type=date.fromisoformat, metavar="YYYY-MM-DD",
        help="sign: the last day it counts, UTC; at most registry.waiver_days_at_most ahead",
    )  # fmt: skip
    parser.add_argument("--by", metavar="NAME", help="sign: as in registry.waiver_signers")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: waivers/ in the Weir home"
    )


def _approve(parser: argparse.ArgumentParser) -> None:
    _version(parser)
    parser.add_argument(
        "--as", dest="user", default="reviewer", metavar="USER", help="the reviewer who approves"
    )


def _version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--version", required=True, help="a version's number, or its alias (challenger, champion)"
    )


def _approval(parser: argparse.ArgumentParser) -> None:
    _version(parser)
    parser.add_argument("--model", metavar="URI", help="must name the same version")
    parser.add_argument("--or-fail", action="store_true", help="end with 2 where it is a no")


def _remove_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch", required=True, metavar="ID", help="as the label queue and check-labels name it"
    )
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the audit trail")
    parser.add_argument("--by", required=True, metavar="NAME", help="who decided it")


def _fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="models:/NAME/VERSION, or an alias")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where its files go")


def _tracking_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, help="default: local.mlflow_port")


VERBS = [
    Verb("train", "search and train an ensemble on labelled events",
         "training.train_command:run", _train),
    Verb("fit-fusion", "train a model's fusion anew, in the processes that torchrun started",
         "training.fusion_command:run", _fit_fusion),
    Verb("quantise", "int8 variants of the configured encoder, gated on drift and quality",
         "training.quantisation:run", _quantise),
    Verb("register", "log a trained model to MLflow as a version with its lineage",
         "training.registration:register", _register),
    Verb("promote", "attach gate reports to a version; if all pass it becomes the challenger",
         "training.registry_commands:promote", _promote),
    Verb("waiver", "sign a waiver of evidence that a gate lacks, for one version and some days",
         "training.registry_commands:waiver", _waiver),
    Verb("approve", "demo: approve a version as the demo reviewer",
         "training.registry_commands:approve", _approve),
    Verb("approval", "say whether a version is approved, by whom, and if not why",
         "training.registry_commands:approval", _approval),
    Verb("lineage", "lead a version back to run, commit, configuration, data and labels",
         "training.registry_commands:lineage", _version),
    Verb("remove-batch", "take a bad batch of labels out for good; name the models that saw it",
         "training.label_removal:run", _remove_batch),
    Verb("fetch", "put a registered version's files into a folder, as KServe asks for them",
         "training.model_fetch:run", _fetch),
    Verb("tracking-server", "serve MLflow with authentication and the approval recorder",
         "training.tracking_server:serve", _tracking_server),
]  # fmt: skip

if __name__ == "__main__":
    sys.exit(main("training", "Makes models, and keeps the registry.", VERBS))
