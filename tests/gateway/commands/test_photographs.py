from __future__ import annotations

import threading
from pathlib import Path, PurePath

import pytest

from gateway.commands.analysis.photographs import drawn_names, find
from vultus.order import in_order


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(*arguments: str, without: Path | None = None) -> list[str]:
    return [photograph.name for photograph in find(arguments, without)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_folders_and_patterns_in_order(here: Path) -> None:
    touch(here, "z.jpg", "f/b.PNG", "f/a.jpg", "f/g/c.heic", "f/readme.md", "f/.x.jpg", "f/.g/d.jpg", "odd.bin")
    assert names("z.jpg", "f") == ["z.jpg", "f/a.jpg", "f/b.PNG", "f/g/c.heic"]
    assert names("odd.bin") == ["odd.bin"]
    assert names("*.jpg", "f/?.PNG") == ["z.jpg", "f/b.PNG"]
    assert names("**/*.jpg") == ["f/a.jpg", "z.jpg"]
    assert names("f*") == ["f/a.jpg", "f/b.PNG", "f/g/c.heic"]


def test_every_common_suffix_of_a_photograph(here: Path) -> None:
    touch(here, *(f"f/a{suffix}" for suffix in (".jfif", ".jpe", ".JIF", ".pjpeg", ".dib", ".hif", ".txt")))
    assert [Path(name).suffix for name in names("f")] == [".JIF", ".dib", ".hif", ".jfif", ".jpe", ".pjpeg"]


def test_what_is_no_file(here: Path) -> None:
    touch(here, "-", "https:/a/b.jpg")
    first, second, third = find(["-", "https://a/b.jpg?c=d", "./-"])
    assert (first.name, first.address) == ("-", "-")
    assert (second.name, second.content()) == ("https://a/b.jpg?c=d", "https://a/b.jpg?c=d")
    assert third.content() == Path("-")
    assert drawn_names([first, second]) == [PurePath("stdin.png"), PurePath("b.png")]


def test_a_file_is_taken_once(here: Path) -> None:
    touch(here, "f/a.jpg", "f/b.jpg")
    assert names("f/b.jpg", "f", "f/*") == ["f/b.jpg", "f/a.jpg"]


def test_a_file_whose_name_looks_like_a_pattern(here: Path) -> None:
    touch(here, "[1].jpg", "1.jpg")
    assert names("[1].jpg") == ["[1].jpg"]


def test_what_is_missing_stays(here: Path) -> None:
    assert names("none.jpg", "*.none") == ["none.jpg", "*.none"]


def test_the_folder_that_is_written_is_not_read(here: Path) -> None:
    touch(here, "f/a.jpg", "f/out/a.png")
    assert names("f", without=Path("f/out")) == ["f/a.jpg"]


def test_drawn_names_are_unique_and_keep_folders(here: Path) -> None:
    touch(here, "f/a.jpg", "f/a.png", "f/a-2.gif", "g/a.jpg", "f/g/a.jpg")
    assert drawn_names(find(["f", "g"])) == [PurePath(name) for name in ("a-2.png", "a.png", "a-3.png", "g/a.png", "a-4.png")]


def test_results_keep_their_order_and_workers_are_bounded() -> None:
    second_done, lock = threading.Event(), threading.Lock()
    running, most = 0, 0

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if item == 0:
            assert second_done.wait(10)
        if item == 1:
            second_done.set()
        with lock:
            running -= 1
        return item * item

    assert list(in_order(work, range(50), 3)) == [n * n for n in range(50)]
    assert 2 <= most <= 3


def test_an_error_ends_it_and_nothing_further_is_begun() -> None:
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 2:
            raise ValueError("the third")
        return item

    got: list[int] = []
    with pytest.raises(ValueError, match="the third"):
        got.extend(in_order(work, range(1000), 1))
    assert got == [0, 1]
    assert len(begun) < 20
