"""System df and prune, where there are containers, networks and volumes."""

import json
import re
from pathlib import Path

from tests.ferry import Ferry

IMAGE = "box:1"

TEN_KB = "dd if=/dev/zero of={} bs=1000 count=10 2>/dev/null"


def rows(box: Ferry) -> dict[str, list[str]]:
    form = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
    lines = box.text("system", "df", "--format", form).splitlines()
    return {kind: rest for kind, *rest in (line.split("\t") for line in lines)}


def test_df(box: Ferry) -> None:
    up = box.text("run", "-d", "-v", "kept:/v", IMAGE, "sleep", "1000")
    write = TEN_KB.format("/x") + "; " + TEN_KB.format("/v/y")
    box("run", "--name", "down", "-v", "/v", IMAGE, "sh", "-c", write)
    box("tag", IMAGE, "other:1")
    (size,) = {image["Size"] for image in json.loads(box.text("inspect", IMAGE))}
    found = rows(box)
    assert found["Images"][:2] == ["1", "1"]
    assert found["Images"][3] == "0B (0%)"
    assert found["Containers"] == ["2", "1", "10kB", "10kB (100%)"]
    assert found["Local Volumes"] == ["2", "2", "10kB", "0B (0%)"]
    assert found["Build Cache"] == ["0", "0", "0B", "0B"]
    assert found["Mountable Layers"][:2] == ["1", "1"]
    assert found["Mountable Layers"][3] == "0B (0%)"
    verbose = json.loads(box.text("system", "df", "-v", "--format", "json"))
    assert {each["Containers"] for each in verbose["Images"]} == {"2"}
    assert [(c["ID"], c["Size"]) for c in verbose["Containers"]][1] == (up, "0B")
    assert verbose["Containers"][0]["Names"] == "down"
    assert {v["Name"]: (v["Links"], v["Size"]) for v in verbose["Volumes"]}["kept"] == ("1", "0B")
    assert re.search(r"^kept +1 +0B$", box.text("system", "df", "-v"), re.MULTILINE)
    assert size > 0
    box("rm", "-f", up, "down")
    found = rows(box)
    assert found["Images"][1] == "0"
    assert found["Images"][3].endswith("(100%)")
    assert found["Local Volumes"] == ["2", "0", "10kB", "10kB (100%)"]
    assert found["Mountable Layers"][1] == "0"


def test_prune(box: Ferry) -> None:
    box("network", "create", "empty")
    box("network", "create", "full")
    box("volume", "create", "mine")
    up = box.text("run", "-d", "--network", "full", "-v", "/v", IMAGE, "sleep", "1000")
    write = TEN_KB.format("/x") + "; " + TEN_KB.format("/v/y")
    down = box.text("create", "-v", "/v", IMAGE, "sh", "-c", write)
    box("start", "-a", down)
    done = box.text("system", "prune", "--force")
    assert done == (
        f"Deleted Containers:\n{down}\n\nDeleted Networks:\nempty\n\nTotal reclaimed space: 10kB"
    )
    lost = set(box.text("volume", "ls", "-qf", "dangling=true").split()) - {"mine"}
    done = box.text("system", "prune", "--force", "--volumes")
    (anonymous,) = lost
    assert done == f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 10kB"
    # What is in use stays, whatever one says.
    box("system", "prune", "--all", "--force", "--volumes")
    assert box.text("exec", up, "ls", "-d", "/v") == "/v"
    assert box.text("network", "ls", "-qf", "name=full")
    assert box.text("images", "-q")


def test_prune_filters(box: Ferry) -> None:
    box("network", "create", "--label", "keep", "kept")
    box("network", "create", "gone")
    kept = box.text("create", "--label", "keep=1", IMAGE)
    gone = box.text("create", IMAGE)
    done = box.text("system", "prune", "-f", "--filter", "until=1h")
    assert done == "Total reclaimed space: 0B"
    done = box.text("system", "prune", "-f", "--filter", "label!=keep")
    assert done.splitlines() == [
        *("Deleted Containers:", gone, "", "Deleted Networks:", "gone", ""),
        "Total reclaimed space: 0B",
    ]
    assert box.text("ps", "-aq", "--no-trunc") == kept


def test_prune_of_mountable_layers(box: Ferry) -> None:
    """They outlive their container, and go with their image."""
    layers = Path(box.root, "layers")
    box("run", "--rm", IMAGE, "true")
    assert len(list(layers.iterdir())) == 1
    assert box.text("system", "prune", "-f") == "Total reclaimed space: 0B"
    assert len(list(layers.iterdir())) == 1
    (diff_id,) = json.loads(box.text("inspect", "-f", "{{json .RootFS.Layers}}", IMAGE))
    done = box.text("system", "prune", "-af").split("\n\n")
    assert done[-2] == f"Deleted Mountable Layers:\n{diff_id}"
    assert list(layers.iterdir()) == []
