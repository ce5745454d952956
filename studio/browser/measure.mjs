// Measures the studio in Chromium: node browser/measure.mjs ADDRESS image|slide|clicks|grid. Prints JSON.

import { readFileSync } from "node:fs";
import { browser } from "./chromium.mjs";

const [address, what] = process.argv.slice(2);
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
const mark = async (name) =>
  (await (await page.waitForFunction((n) => performance.getEntriesByName(n)[0]?.startTime, name, { timeout: 60000 })).jsonValue()) / 1000;
const saved = (n) => page.locator("[role=status]", { hasText: `saved, change ${n}` }).waitFor({ timeout: 120000 });
const middle = async () => {
  const view = await page.locator(".view").boundingBox();
  return [view.x + view.width / 2, view.y + view.height / 2];
};

/** Times between frames while `move` is called again and again: until there are 120 frames, or as often as `moves` says. */
async function frames(move, moves = 0) {
  await page.evaluate(() => {
    window.frames_ = [];
    let last = performance.now();
    const tick = (now) => {
      window.frames_?.push(now - last);
      last = now;
      if (window.frames_) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
  for (let i = 0; moves ? i < moves : (await page.evaluate(() => window.frames_.length)) < 120; i++) await move(i);
  const told = await page.evaluate(() => [window.frames_, (window.frames_ = null)][0]);
  const sorted = told.slice(5).sort((a, b) => a - b);
  return { median_fps: 1000 / sorted[sorted.length >> 1], worst_5_percent_fps: 1000 / sorted[Math.floor(sorted.length * 0.95)] };
}

async function image() {
  const told = {};
  await page.goto(`${address}#/0`);
  told.picture_s = await mark("picture shown");
  told.all_masks_s = await mark("all masks shown");
  const at = await middle();
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
  await saved(1);
  return told;
}

/** A slide: first as a whole, then closer and closer, with a pan at each step; memory of the tab in MB. */
async function slide() {
  const told = {};
  let tiles = 0;
  page.on("request", (one) => (tiles += one.url().includes("/tiles/")));
  await page.goto(`${address}#/0`);
  told.picture_s = await mark("picture shown");
  await page.locator(".list li").first().waitFor({ timeout: 600000 });
  told.all_masks_s = await mark("all masks shown");
  told.objects = await page.locator(".list ul").getAttribute("aria-label");
  const at = await middle();
  told.pan = {};
  for (const across of [131072, 32768, 8192, 2048, 512]) {
    await page.mouse.move(...at);
    for (let k = 0; across < 131072 && k < 4; k++) await page.mouse.wheel(0, (-400 * Math.log(4)) / 4);
    await page.waitForTimeout(700);
    // on to what was not seen yet, and back a row lower: the picture is taken hold of again at the end of each stroke
    let from = at;
    told.pan[across] = await frames(async (i) => {
      const way = i < 150 ? 1 : -1;
      if (i % 15 === 0) {
        await page.mouse.up();
        from = [at[0] + 300 * way, at[1] + (i === 150 ? 250 : 0)];
        await page.mouse.move(...from);
        await page.mouse.down();
      }
      await page.mouse.move(from[0] - 40 * way * (1 + (i % 15)), at[1]);
    }, 300);
    await page.mouse.up();
    told.pan[across] = { ...told.pan[across], tiles, memory_mb: await memory() };
  }
  return told;
}

/** Megabytes of memory that the tab's process has, without the code that it shares with others. */
async function memory() {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const read = (id, word) => Number(readFileSync(`/proc/${id}/status`, "utf8").match(new RegExp(`${word}:\\s+(\\d+)`))[1]) / 1024;
  const tabs = processInfo.filter((one) => one.type === "renderer").map(({ id }) => ["RssAnon", "RssShmem", "VmSwap"].reduce((sum, word) => sum + read(id, word), 0));
  if (process.env.MEM) for (const { id } of processInfo.filter((one) => one.type === "renderer")) console.error(["VmRSS", "VmHWM", "RssAnon", "RssShmem", "RssFile"].map((w) => [w, read(id, w)]), JSON.stringify(await page.evaluate(() => [performance.memory.usedJSHeapSize, performance.memory.totalJSHeapSize])));
  return Math.max(...tabs);
}

/** Milliseconds from a click to the frame behind its answer, as the page sees them, and seconds of the page's CPU. */
async function clicks() {
  const told = { first_ms: [], further_ms: [] };
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const cpu = async () => (await session.send("Performance.getMetrics")).metrics.find((one) => one.name === "TaskDuration").value;
  let spent = 0;
  for (const number of [0, 1, 2]) {
    await page.goto(`${address}#/${number}`);
    await page.locator(".list li").first().waitFor();
    await page.evaluate(() => {
      let from = 0;
      window.clicks_ = [];
      addEventListener("pointerup", () => (from = performance.now()), true);
      new MutationObserver(() => {
        if (!from || !/^saved/.test(document.querySelector("[role=status]").textContent)) return;
        const began = from;
        from = 0;
        requestAnimationFrame(() => setTimeout(() => window.clicks_.push(performance.now() - began)));
      }).observe(document.querySelector("[role=status]"), { characterData: true, childList: true, subtree: true });
    });
    const [x, y] = await middle();
    for (let n = 1; n <= 6; n++) {
      if (n === 1) await page.keyboard.press("c");
      const before = await cpu();
      await page.mouse.click(x + 37 * (n - 3), y + 23 * (n - 3));
      await page.waitForFunction((count) => window.clicks_.length >= count, n, { timeout: 120000 });
      if (number && n > 1) spent += (await cpu()) - before;
      if (number) told[n === 1 ? "first_ms" : "further_ms"].push(await page.evaluate(() => window.clicks_.at(-1)));
    }
    await page.goto("about:blank");
  }
  return { ...told, page_cpu_ms: (1000 * spent) / 10 };
}

/** Scroll down and up: how long places stay without a cell, and cells without their picture. */
async function grid() {
  await page.goto(address);
  await page.locator(".grid img").first().waitFor();
  await page.evaluate(() => {
    window.waits_ = { cell: [0], picture: [0] };
    const since = { cell: null, picture: new Map() };
    const look = (now) => {
      const frame = document.querySelector(".grid").getBoundingClientRect();
      const shown = [...document.querySelectorAll(".grid li")].filter((li) => {
        const box = li.getBoundingClientRect();
        return box.bottom > frame.top && box.top < frame.bottom;
      });
      const lowest = Math.max(...shown.map((li) => li.getBoundingClientRect().bottom), 0);
      if (lowest >= frame.bottom - 1) since.cell = null;
      else window.waits_.cell.push(now - (since.cell ??= now));
      const blank = new Set(shown.filter((li) => !li.querySelector("img").complete).map((li) => li.querySelector("button").dataset.n));
      for (const n of blank) since.picture.set(n, since.picture.get(n) ?? now);
      for (const [n, from] of since.picture) {
        window.waits_.picture.push(now - from);
        if (!blank.has(n)) since.picture.delete(n);
      }
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await page.mouse.move(600, 500);
  for (let n = 0; n < 40; n++) {
    await page.mouse.wheel(0, 350);
    await page.waitForTimeout(100);
  }
  const steady = await page.evaluate(() => ({ no_cell_ms: Math.max(...window.waits_.cell), no_picture_ms: Math.max(...window.waits_.picture) }));
  for (let n = 0; n < 10; n++) {
    await page.evaluate((k) => (document.querySelector(".grid").scrollTop = k * 23000), n);
    await page.waitForTimeout(600);
  }
  const jumps = await page.evaluate(() => ({ no_cell_ms: Math.max(...window.waits_.cell), no_picture_ms: Math.max(...window.waits_.picture) }));
  return { steady, jumps };
}

console.log(JSON.stringify(await { image, slide, clicks, grid }[what]()));
await browser.close();
