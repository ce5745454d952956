// Looks at a slide in Chromium and corrects it: node browser/slide.mjs ADDRESS. Any error of the console fails.

import { browser } from "./chromium.mjs";

const [address, folder] = process.argv.slice(2);
const wrong = [];
const done = {};
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
page.on("console", (m) => m.type() === "error" && wrong.push(m.text()));
page.on("pageerror", (error) => wrong.push(String(error)));

/** The share of a square in the middle of the view that is not grey. */
const coloured = (side) =>
  page.evaluate((n) => {
    const canvas = document.querySelector(".view canvas");
    const { data } = canvas.getContext("2d").getImageData((canvas.width - n) / 2, (canvas.height - n) / 2, n, n);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) count += Math.max(Math.abs(data[i] - data[i + 1]), Math.abs(data[i] - data[i + 2])) > 20;
    return count / (n * n);
  }, side);
const objects = () => page.locator(".list ul").getAttribute("aria-label");
const told = (text) => page.locator("[role=status]", { hasText: text }).waitFor({ timeout: 60000 });

try {
  await page.goto(`${address}#/0`);
  await page.locator(".list li").first().waitFor({ timeout: 120000 });
  await page.waitForTimeout(1500);
  done.objects = await objects();
  done.far = await coloured(600);
  if (folder) await page.screenshot({ path: `${folder}/slide-far.png` });
  await page.locator(".list").evaluate((node) => (node.scrollTop = node.scrollHeight));
  await page.waitForTimeout(300);
  const last = page.locator(".list button").last();
  done.listed = await last.textContent();
  await last.click();
  await page.waitForTimeout(1500);
  done.near = await coloured(300);
  if (folder) await page.screenshot({ path: `${folder}/slide-near.png` });
  const view = await page.locator(".view").boundingBox();
  const [x, y] = [view.x + view.width / 2, view.y + view.height / 2];
  await page.mouse.click(view.x + 8, view.y + 8);
  await page.mouse.click(x, y);
  done.clicked = await page.locator(".list [aria-pressed=true]").first().textContent();
  await page.keyboard.press("Escape");
  await page.keyboard.press("b");
  await page.mouse.move(view.x + 40, view.y + 40);
  await page.mouse.down();
  await page.mouse.move(view.x + 120, view.y + 60, { steps: 5 });
  await page.mouse.up();
  await told("saved, change 1");
  done.drawn = await objects();
  await page.keyboard.press("z");
  await told("saved, change 2");
  done.undone = await objects();
  done.tabs = await page.locator("[role=tab]").allTextContents();
} catch (error) {
  wrong.push(String(error), JSON.stringify(done));
  if (folder) await page.screenshot({ path: `${folder}/slide-failed.png` });
} finally {
  await browser.close();
}
console.log(JSON.stringify({ done, wrong }));
process.exitCode = wrong.length ? 1 : 0;
