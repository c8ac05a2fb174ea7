"""Reading text files: what is right, and one clear sentence for each thing that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinygradrnn.data import shakespeare
from tinygradrnn.text import TextError, read_text

pytestmark = pytest.mark.numpy_only("about files and processes")


def written(folder: Path, data: bytes) -> Path:
    path = folder / "some text.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"To be\n", "To be\n"),
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
        (b"\xef\xbb\xbfna\xc3\xafve", "naïve"),
        ("日本\u2028𝄞".encode(), "日本\u2028𝄞"),
    ],
)
def test_reads_utf8_with_any_line_ends(tmp_path, data, text):
    assert read_text(written(tmp_path, data)) == text
    assert read_text(str(tmp_path / "some text.txt")) == text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "some text.txt is empty"),
        (b"\xef\xbb\xbf", "some text.txt is empty"),
        (b"fine\nfine\ncaf\xe9", "some text.txt is not UTF-8 text: byte 0xe9 in line 3"),
        ("To be".encode("utf-16"), "is not UTF-8 text: byte 0xff in line 1"),
        (b"cut off \xe2\x82", "is not UTF-8 text: byte 0xe2 in line 1"),
    ],
)
def test_says_what_is_wrong_inside(tmp_path, data, message):
    with pytest.raises(TextError, match=message) as caught:
        read_text(written(tmp_path, data))
    assert "\n" not in str(caught.value)


def test_says_what_is_wrong_with_the_path(tmp_path, monkeypatch):
    with pytest.raises(TextError, match=r"nowhere\.txt: there is no such file"):
        read_text(tmp_path / "nowhere.txt")
    with pytest.raises(TextError, match="is a folder; give a text file"):
        read_text(tmp_path)

    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(TextError, match=r"a\.txt cannot be read: Permission denied"):
        read_text(tmp_path / "a.txt")


def test_the_plays():
    text = shakespeare()
    assert text.startswith("First Citizen:\n")
    assert len(text) == 1_187_608
    assert len(set(text)) == 70
