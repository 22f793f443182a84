"""Documents of the repository as pages of the site, and sections of them. Nothing is copied by hand."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from gateway.models import ATTRIBUTE_MODELS, DETECTOR

ROOT = Path(__file__).resolve().parents[2]
# Page by document. A document that this checkout lacks gives a page that says so.
DOCUMENTS = {
    "CHANGELOG.md": "changes.md",
    "SECURITY.md": "security.md",
    "docker/README.md": "images.md",
    "docker/kubernetes/README.md": "kubernetes.md",
    "gateway/README.md": "gateway.md",
    "gateway/apis/vendors/README.md": "vendors.md",
    "model_repository/README.md": "tensors.md",
    "scripts/train/README.md": "training.md",
    **{f"model_repository/{name}/CARD.md": f"model-cards/{name}.md" for name in (DETECTOR, *ATTRIBUTE_MODELS)},
}
# Documents that pages take sections of.
ELSEWHERE = {"README.md": "quick-start.md"}
LINK = re.compile(r"(?<!!)\[([^\]\[]+)\]\((?![a-z]+:)([^)#\s]+)(#[^)\s]*)?\)")


def page(document: str) -> str:
    """The document as Markdown of its page."""
    path = ROOT / document
    if not path.exists():
        return f"# {Path(document).parent.name or Path(document).stem}\n\nThis checkout has no `{document}`.\n"
    return relinked(path.read_text(), document, DOCUMENTS[document])


def section(document: str, heading: str) -> str:
    """One `##` section of a document, without its heading; a sentence in its place when there is none."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", (ROOT / document).read_text(), re.S | re.M)
    if found is None:
        return f'This checkout has no section "{heading}" in `{document}`.\n'
    return relinked(found[1].strip(), document, ELSEWHERE[document])


def relinked(text: str, document: str, to: str) -> str:
    """Links to documents that are pages lead to the pages; other links of the repository become the names of files."""

    def replace(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        file = posixpath.normpath(posixpath.join(posixpath.dirname(document), target))
        leads_to = (DOCUMENTS | ELSEWHERE).get(file)
        if leads_to is None:
            return f"`{file}`" if label in (target, file) else f"{label} (`{file}`)"
        return f"[{label}]({posixpath.relpath(leads_to, posixpath.dirname(to) or '.')}{anchor})"

    return LINK.sub(replace, text)


def measurements() -> str:
    """Links to the committed measurements, docs/pages/benchmark/*.md."""
    folder = ROOT / "docs" / "pages" / "benchmark"
    found = sorted(folder.glob("*.md"))
    titles = [re.sub(r"^#+ *", "", path.read_text().lstrip().split("\n", 1)[0]) for path in found]
    links = [f"- [{title}](benchmark/{path.name})" for title, path in zip(titles, found, strict=True)]
    return "\n".join(links) or "None is committed yet."
