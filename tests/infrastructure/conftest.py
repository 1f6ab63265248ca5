"""All folders of the infrastructure, read once."""

from pathlib import Path

import infrastructure_files
import pytest
from checks import hcl


@pytest.fixture(scope="session")
def modules() -> dict[Path, hcl.Module]:
    return {folder.resolve(): hcl.read(folder) for folder in hcl.folders(infrastructure_files.ROOT)}
