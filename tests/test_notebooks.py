"""The notebooks in docs/ run, print what they show, and become pages."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from docs_build.notebooks import to_markdown

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs").rglob("*.ipynb"))


def texts(notebook: Any) -> list[list[str]]:
    """Return what each cell prints or shows, as text; pictures differ a little from machine to machine."""
    return [
        ["".join(output.get("text") or output["data"]["text/plain"]) for output in cell.get("outputs", ())]
        for cell in notebook["cells"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_it_shows(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook: Any = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)  # type: ignore[no-untyped-call]  # its own
    shown = texts(notebook)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert texts(notebook) == shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_becomes_a_page_with_all_of_its_cells_and_pictures(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    page = to_markdown(text, path.stem)
    cells = json.loads(text)["cells"]
    assert all("".join(cell["source"]) in page for cell in cells)
    pictures = sum("image/png" in output.get("data", {}) for cell in cells for output in cell.get("outputs", ()))
    assert page.count("](data:image/png;base64,") == pictures > 0
    assert f"]({path.stem}.ipynb)" in page
