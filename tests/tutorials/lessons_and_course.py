"""The lessons that the tests run on, the tutorials of the course, and a reader of their pages."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from processes import ROOT

LESSONS = Path(__file__).parent / "lessons"
FIRST, SECOND = sorted(LESSONS.glob("*.py"))
COURSE = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))

VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """A page: its elements with their attributes, and the text inside each kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def values(self, name: str) -> list[str]:
        """The values of an attribute, on any element."""
        return [value for _, found in self.elements if (value := found.get(name)) is not None]


def check_page(text: str) -> Page:
    """Whatever is on it, a page is whole: it loads nothing, runs nothing else, hides nothing."""
    page = Page(text)
    policy = str(page.all("meta")[1]["content"])
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert len(page.all("h1")) == 1 and page.all("html") == [{"lang": "en"}]
    assert len(set(page.values("id"))) == len(page.values("id"))
    assert all(source.startswith("data:image/") for source in page.values("src"))
    assert page.all("link") == []
    for image in page.all("img"):
        assert image["alt"] and int(image["width"] or 0) and int(image["height"] or 0)
    for frame in page.all("iframe"):
        assert frame["sandbox"] == "allow-scripts" and frame["loading"] == "lazy"
        assert frame["title"]
    inside = {href[1:] for href in page.values("href") if href.startswith("#")}
    assert inside <= set(page.values("id"))
    return page
