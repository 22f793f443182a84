"""`vultus analyze` against the real service, by both ways."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner

from gateway.commands.main import main
from tests.conftest import PICTURES, encode
from tests.served import Served

PHOTO = str(PICTURES / "astronaut.jpg")


def lines(*arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(main, ["analyze", "--json", *arguments])
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("attributes", [(), ("--attributes", "age,landmarks", "--max-faces", "1")])
def test_both_ways_say_the_same(served: Served, attributes: tuple[str, ...]) -> None:
    (by_http,) = lines(PHOTO, "--url", served.base, *attributes)
    (by_grpc,) = lines(PHOTO, "--grpc", served.triton, *attributes)
    for answer in (by_http, by_grpc):
        assert answer.pop("request_id")
        assert answer.pop("timings_ms")
    assert by_http == by_grpc
    assert by_http["faces"]


def test_grpc_reports_what_cannot_be_analysed(served: Served, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "a.jpg").write_bytes(b"no picture")
    (folder / "b.png").write_bytes(encode(np.full((90, 120, 3), 200, np.uint8), ".png"))
    result = CliRunner().invoke(main, ["analyze", str(folder), PHOTO, "--csv", "--grpc", served.triton])
    assert result.exit_code == 1
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["error"], row["faces"], row["gender"]) for row in rows] == [
        ("unrecognised_image", "", ""),
        ("", "0", ""),
        ("", "1", "female"),
    ]
    assert "a.jpg: The bytes are not an image." in result.stderr
