"""Make the environments: `.venv` (the platform), `.venv-airflow` (Airflow), `.venv-kubeflow` (kfp).

`.venv-review` (Label Studio) is made when it is first needed, by `make review`.

Standard library only, since it runs before anything is installed. Idempotent: an environment
whose requirements did not change is left as it is. Needs Python 3.11+ and pip, no compiler.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
TORCH = "torch==2.13.0"
REVIEW = ".venv-review"
ENVIRONMENTS = {
    ".venv": ("requirements.txt", "infra/constraints/platform.txt"),
    ".venv-airflow": ("dags/requirements.txt", "infra/constraints/airflow.txt"),
    ".venv-kubeflow": ("infra/kubeflow/requirements.txt", "infra/constraints/kubeflow.txt"),
    REVIEW: ("infra/review/requirements.txt", "infra/constraints/label_studio.txt"),
}


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  an older Python may run this file
        print(f"setup: Python {sys.version.split()[0]} is too old; install 3.11 or newer")
        return 2
    try:
        for name in (".venv", ".venv-airflow", ".venv-kubeflow"):
            ensure(name)
        _write_local_secrets()
    except subprocess.CalledProcessError as error:
        print(f"setup: {' '.join(map(str, error.cmd))} ended with {error.returncode}")
        print("  read the lines above it, mend the cause, and run `make setup` again")
        return 1
    print("setup: done. Next: make run")
    return 0


def ensure(name: str) -> None:
    """Make the environment, or bring it to its requirements. Raises CalledProcessError."""
    files = [PROJECT / file for file in ENVIRONMENTS[name]]
    stamp = PROJECT / name / "weir-requirements.sha256"
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        print(f"setup: {name} is up to date")
        return
    started = time.monotonic()
    python = _python_of(name)
    if name == ".venv":
        # torch first and by itself: a later resolution must not swap in a GPU build
        _say(f"{name}: installing {TORCH}")
        _run(python, "-m", "pip", "install", "--quiet", TORCH)
    _say(
        f"{name}: installing {files[0].relative_to(PROJECT)} (one to five minutes when not cached)"
    )
    _run(python, "-m", "pip", "install", "--quiet", "uv")
    _run(
        python, "-m", "uv", "pip", "install", "--quiet", "--python", python,
        "--requirements", files[0], "--constraints", files[1],
    )  # fmt: skip
    stamp.write_text(wanted)
    _say(f"{name}: ready after {time.monotonic() - started:.0f} s")


def _python_of(name: str) -> Path:
    python = PROJECT / name / "bin" / "python"
    if not python.exists():
        _say(f"{name}: creating the virtual environment")
        _run(sys.executable, "-m", "venv", PROJECT / name)
    return python


def _write_local_secrets() -> None:
    """Through the platform's own code, which the fresh environment can now run."""
    code = (
        "from data_contracts.config import load_settings\n"
        "from data_contracts.secrets import create_local_secrets\n"
        "create_local_secrets(load_settings().home)"
    )
    _run(PROJECT / ".venv" / "bin" / "python", "-c", code)


def _run(*argv: str | Path) -> None:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([str(part) for part in argv], check=True, cwd=PROJECT, env=environment)


def _say(message: str) -> None:
    print(f"setup: {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
