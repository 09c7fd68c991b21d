"""The examples of docs/pushing.md do what the page says: run by a shell, with curl, against a server that listens."""

import os
import shutil
import subprocess

import pytest

from flood_assets.lake.lake import Lake
from flood_assets.landing.ingest import ingest
from flood_assets.landing.objects import Receipt
from flood_assets.schemas import STATIONS
from flood_assets.serve.keys import Keys
from flood_assets.serve.limits import Limits
from flood_assets_tests.support import examples
from flood_assets_tests.support.listening import listening
from flood_assets_tests.support.pushing import key_file, stored
from flood_assets_tests.support.seven_gauges import NOW, fill

PAGE = examples.ROOT / "docs" / "pushing.md"


@pytest.fixture
def server(tmp_path):
    lake = Lake.open(tmp_path / "lake")
    fill(lake)
    limits = Limits(0, Keys(key_file(tmp_path), lambda: 0.0))
    with listening(lake, NOW, client_limits=limits) as found:
        yield found


def run(example: str, url: str) -> str:
    environ = {**os.environ, "KEY": "key-of-acme", "NOW": f"{NOW:%Y-%m-%dT%H:%M:%SZ}"}
    code = example.replace("http://127.0.0.1:8000", url)
    done = subprocess.run(["sh", "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine, which the examples call")
def test_the_examples_push_and_read_the_receipt(server):
    blocks = [each.text for each in examples.fenced("sh") if each.place.startswith("pushing.md")]
    push, receipt, packed, gauges, gone = blocks
    assert '"state":"waiting"' in run(push, server.url)
    assert '"accepted":2' in run(packed, server.url)
    ingest(server.lake, NOW)
    assert '"accepted":2' in run(gauges, server.url)
    ingest(server.lake, NOW)
    assert "Mill Weir" in str(server.lake.newest_snapshot(STATIONS, NOW)["label"])
    assert '"accepted":1' in run(gone, server.url)
    ingest(server.lake, NOW)
    assert "Mill Weir" not in str(server.lake.newest_snapshot(STATIONS, NOW)["label"])
    told = run(receipt, server.url)
    assert '"state":"ingested"' in told
    rows = stored(server.lake, NOW)
    assert (rows["acme:weir", NOW.replace(microsecond=0)]["value"], rows["acme:rain", NOW]["value"]) == (1.53, 0.2)


def test_the_page_names_each_field_of_a_receipt_and_each_status():
    page = PAGE.read_text(encoding="utf-8")
    fields = [name for name in Receipt.__struct_fields__ if name not in ("id", "publisher")]
    assert [name for name in fields if f"`{name}`" not in page] == []
    assert [code for code in ("400", "401", "403", "409", "413", "415", "422", "429", "503") if code not in page] == []
