"""No example without a README, and none that nothing runs."""

import re

import pytest

from tests.examples.conftest import EXAMPLES, ROOT

FOLDERS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__")


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_has_a_readme_and_is_run(folder: str) -> None:
    """A README with a title and a command; a test that names the folder; and each file of it is told of or run."""
    readme = (EXAMPLES / folder / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# ")
    assert "\n```" in readme
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py") if str(path) != __file__]
    assert any(f'"{folder}"' in text for text in texts), f"no test names {folder}"
    for file in (EXAMPLES / folder).iterdir():
        if file.suffix in (".py", ".yaml"):
            assert any(file.name in text for text in [readme, *texts]), file


def test_they_are_numbered_in_the_order_of_reading() -> None:
    """01, 02, …, without a gap."""
    numbers = [int(match[1]) for folder in FOLDERS if (match := re.match(r"(\d\d)-", folder))]
    assert numbers == list(range(1, len(FOLDERS) + 1))


def test_the_index_has_them_all() -> None:
    """examples/README.md links to each."""
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[(\S+)\]\(\1/README\.md\) \|", index, re.MULTILINE) == FOLDERS
