"""What hatchling runs when it builds the package: it makes the manual page and the data for completion."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Manual(BuildHookInterface[Any]):
    """Writes both into the sources, so that an editable installation has them too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects the files, also for an editable installation."""
        sys.path[:0] = [self.root, str(Path(self.root, "docs"))]
        from manual import page

        page.write()
