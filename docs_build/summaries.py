"""A hook of MkDocs: the first sentence of a page is its description for search engines; llms.txt lists all of them."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure import StructureItem
    from mkdocs.structure.files import Files
    from mkdocs.structure.nav import Navigation
    from mkdocs.structure.pages import Page


def on_nav(nav: "Navigation", config: "MkDocsConfig", files: "Files") -> "Navigation":
    """Add llms.txt, the list of the pages for language models, in the order of the navigation."""
    from mkdocs.structure.files import File  # noqa: PLC0415  # tests of the rest do without MkDocs

    lines = [f"# {config.site_name}", "", f"> {config.site_description}", *_listed(nav.items)]
    files.append(File.generated(config, "llms.txt", content="\n".join(lines) + "\n"))
    return nav


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> None:  # noqa: ARG001  # MkDocs'
    """Describe a page by its first sentence."""
    if sentence := first_sentence(markdown):
        page.meta.setdefault("description", sentence)


def _listed(items: Iterable["StructureItem"]) -> Iterable[str]:
    """Return the lines of llms.txt: pages that are in no section first."""
    items = list(items)
    pages = [item for item in items if item.is_page]
    if pages:
        yield ""
        yield from map(_line, pages)  # type: ignore[arg-type]  # is_page says that it is one
    for item in items:
        if item.is_section:
            yield from ("", f"## {item.title}")
            yield from _listed(item.children or ())  # type: ignore[attr-defined]  # as is_section


def _line(page: "Page") -> str:
    markdown = page.file.content_string
    return line(page.title or heading(markdown), page.canonical_url or page.url, markdown)


def line(title: str, url: str, markdown: str) -> str:
    """Return the line of a page: what it is about, or, if it is made of docstrings only, whose they are."""
    about = first_sentence(markdown) or ", ".join(re.findall(r"^::: (\S+)", markdown, re.MULTILINE))
    return f"- [{title}]({url}): {about}" if about else f"- [{title}]({url})"


def heading(markdown: str) -> str:
    """Return the first heading of a page."""
    found = re.search(r"^# (.+)$", markdown, re.MULTILINE)
    return found[1] if found else ""


def first_sentence(markdown: str) -> str:
    """Return the first sentence of the first paragraph, as plain text; or nothing, if a page has no paragraph."""
    for block in re.split(r"\n\s*\n", re.sub(r"^(```|~~~).*?^\1", "", markdown, flags=re.MULTILINE | re.DOTALL)):
        text = " ".join(block.split())
        if re.match(r"\w|[`*\"]|\[(?!\!)", text) and not re.match(r"\d+\. |\* ", text):
            text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", "").replace("**", "")
            return re.split(r"(?<=[.?!]) ", text, maxsplit=1)[0]
    return ""
