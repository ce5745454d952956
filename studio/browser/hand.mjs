// The hand of a person who labels: node browser/hand.mjs ADDRESS. Each line that comes in is done in the studio, and answered:
//   {"open": 3, "size": [height, width]}     the image is opened with the right arrow key (the first one by its address)
//   {"key": "c"}                             a key is pressed
//   {"x": 10.5, "y": 20.5, "with": "Shift"}  a click on that place of the image, with a key held down or without
// The answer is {"ms": ...}: until the page shows what came of it; and "refused" where it told of an error.

import { createInterface } from "node:readline";
import { browser } from "./chromium.mjs";

const [address] = process.argv.slice(2);
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
let size = [1, 1];
/** Milliseconds until the answer to what is done has been drawn, and the answer. */
async function until(answered, act) {
  const waiting = page.waitForResponse(answered, { timeout: 120000 });
  const began = await page.evaluate(() => performance.now());
  await act();
  const answer = await waiting;
  await answer.finished();
  const ended = await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now())))));
  return { ms: ended - began, ...(answer.ok() ? {} : { refused: (await answer.json()).message }) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  let told = { ms: 0 };
  if ("open" in asked) {
    size = asked.size;
    const drawn = (r) => r.url().includes(`/images/${asked.open}/tiles/`);
    if (asked.open) told = await until(drawn, () => page.keyboard.press("ArrowRight"));
    else await Promise.all([page.waitForResponse(drawn), page.goto(`${address}#/0`)]);
    await page.locator("header span", { hasText: `${asked.open + 1} of` }).waitFor();
  } else if (asked.key) {
    await page.keyboard.press(asked.key);
  } else {
    const view = await page.locator(".view canvas").first().boundingBox();
    const scale = 0.98 * Math.min(view.width / size[1], view.height / size[0]);
    const x = view.x + view.width / 2 + scale * (asked.x - size[1] / 2);
    const y = view.y + view.height / 2 + scale * (asked.y - size[0] / 2);
    await page.mouse.move(x, y);
    if (asked.with) await page.keyboard.down(asked.with);
    told = await until((r) => r.url().endsWith("/clicks"), () => page.mouse.click(x, y));
    if (asked.with) await page.keyboard.up(asked.with);
  }
  console.log(JSON.stringify(told));
}
await browser.close();
