"""A hook of MkDocs: each notebook in docs/ becomes a page, as it was last executed. The notebook can be downloaded."""

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add a page of Markdown for each notebook."""
    from mkdocs.structure.files import File  # noqa: PLC0415  # tests of the rest do without MkDocs

    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            page = file.src_uri.removesuffix(".ipynb") + ".md"
            files.append(File.generated(config, page, content=to_markdown(file.content_string, file.name)))
    return files


def to_markdown(notebook: str, name: str) -> str:
    """Return the cells of a notebook, and what they have put out."""
    parts = []
    for cell in json.loads(notebook)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts.append(f"```python\n{source}\n```")
            parts.extend(_output(output) for output in cell["outputs"])
    parts.insert(1, f"[Download this notebook]({name}.ipynb)")
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    """Return the best of what stands for an output: a picture, HTML, or text."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        return f"![What the code above draws](data:image/png;base64,{''.join(data['image/png']).strip()})"
    if "text/html" in data:
        html = re.sub(r"\n\s*\n", "\n", "".join(data["text/html"]))  # to Markdown, an empty line would end the HTML
        return f'<div class="notebook-output">\n{html}\n</div>'
    return f"```text\n{''.join(data['text/plain']).rstrip()}\n```"
