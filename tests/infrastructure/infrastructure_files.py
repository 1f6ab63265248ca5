"""The infrastructure's folder, and its checks made importable as the driver does it."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2] / "infrastructure"
sys.path.insert(0, str(ROOT))
