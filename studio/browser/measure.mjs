// Measures the studio in Chromium on one image: node browser/measure.mjs ADDRESS. Prints JSON.

import { chromium } from "playwright-core";

const [address] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
await page.goto(`${address}#/0`);
const mark = (name) => page.waitForFunction((n) => performance.getEntriesByName(n)[0]?.startTime, name, { timeout: 60000 });
const told = {};
told.picture_s = (await (await mark("picture shown")).jsonValue()) / 1000;
told.all_masks_s = (await (await mark("all masks shown")).jsonValue()) / 1000;
const view = await page.locator(".view").boundingBox();
const at = [view.x + view.width / 2, view.y + view.height / 2];

/** Times between frames while `move` is called once a frame. */
const frames = async (move) => {
  await page.evaluate(() => {
    window.frames_ = [];
    let last = performance.now();
    const tick = (now) => {
      window.frames_.push(now - last);
      last = now;
      if (window.frames_.length < 120) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
  for (let i = 0; (await page.evaluate(() => window.frames_.length)) < 120; i++) await move(i);
  const sorted = (await page.evaluate(() => window.frames_)).slice(5).sort((a, b) => a - b);
  return { median_fps: 1000 / sorted[sorted.length >> 1], worst_5_percent_fps: 1000 / sorted[Math.floor(sorted.length * 0.95)] };
};
await page.mouse.move(...at);
told.zoom = await frames((i) => page.mouse.wheel(0, i % 40 < 20 ? -60 : 60));
await page.mouse.down();
told.pan = await frames((i) => page.mouse.move(at[0] + 200 * Math.sin(i / 10), at[1] + 100 * Math.cos(i / 10)));
await page.mouse.up();
await page.keyboard.press("b");
told.brush_ms = await page.evaluate(async ([x, y]) => {
  const target = document.querySelector(".view");
  const send = (kind, dx) => target.dispatchEvent(new PointerEvent(kind, { clientX: x + dx, clientY: y, pointerId: 1, bubbles: true, isPrimary: true }));
  target.setPointerCapture = () => undefined;
  send("pointerdown", 0);
  const times = [];
  for (let i = 1; i < 40; i++) {
    const from = performance.now();
    send("pointermove", 2 * i);
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    times.push(performance.now() - from);
  }
  send("pointerup", 80);
  return times.sort((a, b) => a - b)[20];
}, at);
await page.locator("[role=status]", { hasText: "saved" }).waitFor({ timeout: 30000 });
console.log(JSON.stringify(told));
await browser.close();
