// Writes what the page was built from beside it, so that a test can tell a page that is older than its sources.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const files = (place) => (statSync(place).isDirectory() ? readdirSync(place).flatMap((name) => files(join(place, name))) : [place]);
const hash = createHash("sha256");
for (const file of ["index.html", "package-lock.json", "public", "src", "vite.config.ts"].flatMap(files).sort()) {
  hash.update(`${file}\n`).update(readFileSync(file));
}
writeFileSync("../src/apiece/serve/static/built-from.txt", `${hash.digest("hex")}\n`);
