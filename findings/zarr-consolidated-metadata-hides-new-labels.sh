#!/usr/bin/env bash
# zarr 3.1.6: labels added to an image group whose metadata is consolidated.
#
# Guess: zarr updates the consolidated metadata when it writes a group into an open store, or drops it.
# Happens: the consolidated metadata stays as it was, and `open_group` trusts it. The new labels lie on the disk, and
#   readers of the image find none. They do see the new attribute that lists the labels.
# Seen: groups ["0"], attribute labels ["cells"], KeyError for image["labels"]. With use_consolidated=False, or after
#   another `zarr.consolidate_metadata`: groups ["0", "labels"].
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q zarr==3.1.6 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'EOF'
import zarr

image = zarr.open_group("image.zarr", mode="w")
image.create_array("0", shape=(10, 10), dtype="u2")
zarr.consolidate_metadata("image.zarr")

image = zarr.open_group("image.zarr", mode="a")
image.require_group("labels").create_array("cells", shape=(10, 10), dtype="u4")
image.attrs["labels"] = ["cells"]

opened = zarr.open_group("image.zarr", mode="r")
print("groups:", sorted(opened), "attributes:", dict(opened.attrs))
try:
    opened["labels"]
    raise SystemExit("the labels are seen now")
except KeyError as error:
    print("KeyError:", error)
on_disk = sorted(zarr.open_group("image.zarr", mode="r", use_consolidated=False))
print("on the disk:", on_disk)
zarr.consolidate_metadata("image.zarr")
assert sorted(opened) == ["0"] and on_disk == ["0", "labels"]
assert sorted(zarr.open_group("image.zarr", mode="r")) == ["0", "labels"]
EOF
