// Opens and edits one image in a labelling tool: node browser/peers.mjs studio|label_studio ADDRESS COUNT. Prints JSON.

import { browser } from "./chromium.mjs";

const [what, address, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const MOST = 240000; // milliseconds that opening may take
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
page.setDefaultTimeout(MOST);
const nextFrame = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
const told = {};

/** Drag, and say how long each move takes to its frame, and the whole to where the new object is there. */
async function stroke([x, y], there) {
  await page.mouse.move(x, y);
  await page.mouse.down();
  const moves = [];
  for (let k = 1; k <= 20; k++) {
    const began = Date.now();
    await page.mouse.move(x + 3 * k, y + k);
    await nextFrame();
    moves.push(Date.now() - began);
  }
  const began = Date.now();
  await page.mouse.up();
  await there();
  await nextFrame();
  moves.sort((a, b) => a - b);
  return { move_ms: moves[10], worst_move_ms: moves[19], saved_ms: Date.now() - began };
}

async function studio() {
  const began = Date.now();
  await page.goto(`${address}#/0`);
  await page.waitForFunction(() => performance.getEntriesByName("all masks shown")[0] && performance.getEntriesByName("picture shown")[0]);
  told.open_s = (Date.now() - began) / 1000;
  const view = await page.locator(".view").boundingBox();
  await page.keyboard.press("b");
  told.edit = await stroke([view.x + view.width / 2, view.y + view.height / 2], () => page.locator("[role=status]", { hasText: "saved, change 1" }).waitFor());
}

async function label_studio() {
  const at = new URL(address);
  await page.goto(`${at.origin}/user/login`);
  await page.fill("input[name=email]", "a@example.com");
  await page.fill("input[name=password]", "apiece-bench");
  await Promise.all([page.waitForNavigation(), page.press("input[name=password]", "Enter")]);
  const began = Date.now();
  await page.goto(address);
  const regions = (n) => page.waitForFunction((least) => (window.Htx?.annotationStore?.selected?.regions?.length ?? 0) >= least, n, { polling: 100 });
  await regions(count);
  // all masks are decoded and drawn when the page answers again
  await page.waitForFunction(() => window.Htx.annotationStore.selected.objects.every((o) => o.imageIsLoaded !== false), null, { polling: 100 });
  await nextFrame();
  await nextFrame();
  told.open_s = (Date.now() - began) / 1000;
  const view = await page.locator(".konvajs-content").first().boundingBox();
  await page.evaluate(() => window.Htx.annotationStore.selected.names.get("label").children[0].toggleSelected());
  told.edit = await stroke([view.x + view.width / 2, view.y + Math.min(view.height, 600) / 2], async () => {
    await regions(count + 1);
    const update = page.getByRole("button", { name: /^(update|submit)$/i }).first();
    await Promise.all([page.waitForResponse((r) => /\/annotations/.test(r.url()) && r.request().method() !== "GET"), update.click()]);
  });
}

try {
  await { studio, label_studio }[what]();
} catch (error) {
  told.error = String(error).slice(0, 600);
}
if (process.argv[5] && !told.error) await page.screenshot({ path: process.argv[5] }).catch(() => undefined);
console.log(JSON.stringify(told));
await browser.close();
