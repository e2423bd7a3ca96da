"""The addresses of the project, all derived from the placeholders in docs/project.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from freshness import ROOT


@dataclass(frozen=True)
class Links:
    """Where the project lives."""

    owner: str
    repository: str
    host: str
    branch: str
    binder: str

    @property
    def home(self) -> str:
        """The page of the repository."""
        return f"{self.host}/{self.owner}/{self.repository}"

    def launch(self, path: str) -> str:
        """The address that opens a file of the repository on Binder."""
        return f"{self.binder}/v2/gh/{self.owner}/{self.repository}/{self.branch}?urlpath=lab/tree/{path}"

    def badge(self, path: str) -> str:
        """The Binder badge for a file of the repository, in Markdown."""
        return f"[![Open on Binder]({self.binder}/badge_logo.svg)]({self.launch(path)})"


def project_links() -> Links:
    """Read docs/project.toml."""
    return Links(**tomllib.loads((ROOT / "docs" / "project.toml").read_text(encoding="utf-8")))
