"""What is published: the changelog, the distributions, and the workflow that publishes them."""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GIT = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]  # also what is new and not yet committed
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]  # in this order: Keep a Changelog


def test_the_changelog_has_the_usual_form() -> None:
    _, *versions = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")
    titles = [version.partition("\n")[0] for version in versions]
    assert titles[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", title) for title in titles[1:])
    for version in versions:
        kinds = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds]


def test_the_classifiers_name_the_pythons_that_nox_runs() -> None:
    classifiers = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', classifiers)
    run = re.findall(r"^(?:PYTHONS|NEWER) = (\[.+\])$", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert named == [version for versions in run for version in json.loads(versions)]


def test_the_workflow_runs_what_ci_runs_and_knows_no_secret() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    test, build, publish = workflow.partition("\njobs:\n")[2].split("\n\n")
    assert "run: bash .ci/run" in test.splitlines()[-1]
    assert "needs: test\n" in build
    assert "github.ref_type == 'tag'" in build
    assert "needs: build\n" in publish
    assert "id-token: write" in publish
    assert "id-token" not in workflow.replace(publish, "")
    assert "secrets" not in workflow


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return folder


def files_of_the_project(*folders: str) -> set[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: git can't say which files the project has")
    listed = subprocess.run([*GIT, *folders], cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.mark.slow
def test_the_sdist_has_every_file_of_the_project(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert files_of_the_project() - names == set()
    assert names - files_of_the_project() == {"PKG-INFO"}


@pytest.mark.slow
def test_the_wheel_has_the_package_and_nothing_else(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = [archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
    package = {name for name in names if name.startswith("eventstore/")}
    assert package == files_of_the_project("eventstore")
    others = {re.sub(r"^sqlalchemy_eventstore-[\d.]+\.dist-info/", "", name) for name in names - package}
    assert others == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    assert "\nAuthor: The sqlalchemy-eventstore authors\n" in metadata
    assert "\nDescription-Content-Type: text/markdown\n" in metadata
