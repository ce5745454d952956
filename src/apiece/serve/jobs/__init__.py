"""Jobs: slides and videos, which take longer than a request may. Kept on the disk, so that they survive the server."""
