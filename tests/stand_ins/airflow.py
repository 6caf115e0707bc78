"""What tests of the DAGs need beside Airflow itself."""

from __future__ import annotations

import sys
from pathlib import Path

STAND_IN = Path(__file__).with_name("platform.py")


def platform_stand_in(folder: Path) -> Path:
    """An executable that takes the place of the platform's Python."""
    script = folder / "platform-python"
    script.write_text(f"#!{sys.executable}\n{STAND_IN.read_text()}")
    script.chmod(0o755)
    return script
