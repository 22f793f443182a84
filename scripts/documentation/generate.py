"""Run by mkdocs-gen-files: pages that are documents of the repository, the OpenAPI document, the icon."""

from __future__ import annotations

import json

import mkdocs_gen_files

from gateway.page import FOLDER
from scripts.documentation.openapi import document
from scripts.documentation.repository import DOCUMENTS, page


def main() -> None:
    """Write every generated file."""
    for source, target in DOCUMENTS.items():
        with mkdocs_gen_files.open(target, "w") as file:
            file.write(page(source))
    with mkdocs_gen_files.open("openapi.json", "w") as file:
        json.dump(document(), file, indent=1)
    with mkdocs_gen_files.open("pictures/icon.svg", "w") as file:
        file.write((FOLDER / "icon.svg").read_text())


main()
