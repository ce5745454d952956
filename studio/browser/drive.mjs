// Drives the studio in Chromium: node browser/drive.mjs ADDRESS [FOLDER for pictures]. Any error of the console fails.

import { axe, browser } from "./chromium.mjs";

const [address, folder] = process.argv.slice(2);
const wrong = [];
const done = {};
const expected = { stale: false };

async function open(scheme) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: scheme, bypassCSP: true });
  const page = await context.newPage();
  page.on("console", (m) => {
    if (m.type() === "error" && !(expected.stale && m.text().includes("409")) && !(expected.full && m.text().includes("500"))) wrong.push(m.text());
  });
  page.on("pageerror", (error) => wrong.push(String(error)));
  return page;
}
async function shot(page, name) {
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` });
}
async function accessible(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const v of found.violations.filter((v) => ["serious", "critical"].includes(v.impact)))
    wrong.push(`axe, ${name}: ${v.id}: ${v.nodes.map((n) => n.target + " " + n.failureSummary).join("; ").slice(0, 400)}`);
}
const status = (page) => page.locator("[role=status]").innerText();
const saved = (page, n) => page.locator("[role=status]", { hasText: `saved, change ${n}` }).waitFor({ timeout: 60000 });
const count = async (page) => Number((await page.locator("canvas[role=img]").getAttribute("aria-label")).match(/(\d+) objects/)[1]);

/** What cannot be saved stays on the picture, and is sent again with Enter. */
async function unsaved(page, at) {
  await page.bringToFront();
  await page.keyboard.press("Escape");
  await page.route("**/edits", (route) => route.fulfill({ status: 500, json: { kind: "OSError", message: "the change is not saved: No space left on device" } }), { times: 1 });
  expected.full = true;
  await page.keyboard.press("b");
  await page.mouse.move(...at(0.15, 0.15));
  await page.mouse.down();
  await page.mouse.move(...at(0.2, 0.2), { steps: 4 });
  await page.mouse.up();
  await page.locator("[role=status]", { hasText: "No space left" }).waitFor();
  const before = await count(page);
  await page.keyboard.press("Enter");
  await saved(page, 10);
  done.sentAgain = (await count(page)) - before;
}

/** Repair one finding, dismiss another one, and see both in the report. */
async function review(page) {
  await page.goto(`${address}#/review`);
  await page.locator(".findings li").first().waitFor({ timeout: 120000 });
  await page.locator(".person input").fill("Ada Ł");
  done.findings = await page.locator(".findings ul").getAttribute("aria-label");
  await page.locator(".findings button", { hasText: "duplicate" }).first().click();
  await page.locator(".finding").waitFor();
  await page.locator(".list li").first().waitFor();
  await page.keyboard.press("t");
  await page.locator("[role=status]", { hasText: "repaired" }).waitFor();
  await page.locator(".finding button", { hasText: "List" }).click();
  await page.locator(".findings button:not([disabled])").last().click();
  await page.locator(".list li").first().waitFor();
  await page.keyboard.press("d");
  await page.locator(".finding form input").fill("it is so");
  await page.keyboard.press("Enter");
  await page.locator(".finding", { hasText: "2 of" }).waitFor();
  await page.goto(`${address}#/report`);
  await page.locator("td", { hasText: "it is so" }).waitFor();
  done.report = await page.locator("tbody tr").first().innerText();
}

/** Order of overlap and the magic wand, by button and by key. */
async function tools(page, at) {
  await page.goto(`${address}#/1`);
  await page.locator(".list li").first().waitFor();
  await page.locator(".list button").last().click();
  await page.locator(".tools button", { hasText: "To front" }).click();
  await saved(page, 1);
  done.front = await page.locator(".list button").first().getAttribute("aria-pressed");
  await page.keyboard.press("Shift+U");
  await saved(page, 2);
  done.back = await page.locator(".list button").last().getAttribute("aria-pressed");
  const before = await count(page);
  await page.keyboard.press("w");
  await page.mouse.click(...at(0.5, 0.5));
  await saved(page, 3);
  done.wand = (await count(page)) - before;
  await page.waitForTimeout(300);
  await shot(page, "tools");
}

try {
  for (const scheme of ["dark", "light"]) {
    const page = await open(scheme);
    await page.goto(address);
    await page.locator(".grid img").first().waitFor();
    await page.waitForTimeout(800);
    await shot(page, `grid-${scheme}`);
    await accessible(page, `grid, ${scheme}`);
    await page.locator(".grid button").first().focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Enter");
    await page.locator(".list li").first().waitFor();
    await page.waitForTimeout(800);
    await shot(page, `image-${scheme}`);
    await accessible(page, `image, ${scheme}`);
    for (const tab of await page.locator("[role=tab]").all()) {
      await tab.click();
      await page.waitForTimeout(700);
      await shot(page, `${await tab.getAttribute("id")}-${scheme}`);
      await accessible(page, `${await tab.innerText()}, ${scheme}`);
    }
    await page.goto(`${address}#/review`);
    await page.locator(".findings li").first().waitFor({ timeout: 120000 });
    await shot(page, `review-${scheme}`);
    await accessible(page, `review, ${scheme}`);
    await page.locator(".findings button:not([disabled])").first().click();
    await page.locator(".finding").waitFor();
    await page.waitForTimeout(800);
    await shot(page, `finding-${scheme}`);
    await accessible(page, `finding, ${scheme}`);
    await page.goto(`${address}#/report`);
    await page.locator("table").waitFor();
    await accessible(page, `report, ${scheme}`);
    await page.context().close();
  }

  const page = await open("dark");
  await page.goto(`${address}#/0`);
  await page.locator(".list li").first().waitFor();
  const view = await page.locator(".view").boundingBox();
  const at = (x, y) => [view.x + view.width * x, view.y + view.height * y];
  const drag = async (...points) => {
    await page.mouse.move(...at(...points[0]));
    await page.mouse.down();
    for (const p of points.slice(1)) await page.mouse.move(...at(...p), { steps: 5 });
    await page.mouse.up();
  };
  done.before = await count(page);
  await page.keyboard.press("p");
  for (const p of [[0.3, 0.3], [0.45, 0.3], [0.45, 0.5], [0.3, 0.5]]) await page.mouse.click(...at(...p));
  await page.keyboard.press("Enter");
  await saved(page, 1);
  done.polygon = await count(page);
  await page.keyboard.press("h");
  for (const p of [[0.35, 0.35], [0.4, 0.35], [0.4, 0.45], [0.35, 0.45]]) await page.mouse.click(...at(...p));
  await page.keyboard.press("Enter");
  await saved(page, 2);
  await page.keyboard.press("n");
  await page.waitForTimeout(300);
  await shot(page, "hole");
  await page.keyboard.press("n");
  await page.keyboard.press("b");
  await drag([0.44, 0.4], [0.5, 0.42], [0.52, 0.45]);
  await saved(page, 3);
  await page.keyboard.press("s");
  await drag([0.28, 0.325], [0.47, 0.33]);
  await saved(page, 4);
  done.split = await count(page);
  await page.keyboard.press("z");
  await saved(page, 5);
  done.undone = await count(page);
  await page.keyboard.press("Shift+Z");
  await saved(page, 6);
  done.redone = await count(page);
  await page.keyboard.press("f");
  await saved(page, 7);
  await page.keyboard.press("c");
  await page.mouse.click(...at(0.6, 0.6));
  await saved(page, 8); // the first click loads a model
  done.click = await status(page);
  await shot(page, "edited");

  // a second tab that does not know of a change is told, and overwrites nothing
  const other = await page.context().newPage();
  other.on("pageerror", (error) => wrong.push(String(error)));
  await other.goto(`${address}#/0`);
  await other.locator(".list li").first().waitFor();
  await page.bringToFront(); // a tab behind another one is slowed down
  await page.keyboard.press("z");
  await saved(page, 9);
  await other.bringToFront();
  await other.keyboard.press("v");
  await other.locator(".list button").first().click();
  await other.keyboard.press("Delete");
  await other.locator("[role=status]", { hasText: "changed elsewhere" }).waitFor();
  done.stale = await status(other);
  await unsaved(page, at);
  await page.bringToFront();
  await review(page);
  await tools(page, at);
  await page.goto(`${address}#/0`);
  await page.locator(".list li").first().waitFor();
  await page.keyboard.press("?");
  await page.locator("dialog").waitFor();
  await accessible(page, "keys");
  await shot(page, "keys");
} catch (error) {
  wrong.push(String(error));
} finally {
  await browser.close();
}
console.log(JSON.stringify({ done, wrong }));
process.exitCode = wrong.length ? 1 : 0;
