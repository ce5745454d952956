// Settles the queue "unlike the baseline" in Chromium: node browser/unlike.mjs ADDRESS [FOLDER]. Any error of the console fails.

import { browser } from "./chromium.mjs";

const [address, folder] = process.argv.slice(2);
const wrong = [];
const done = {};
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
page.on("console", (m) => m.type() === "error" && wrong.push(m.text()));
page.on("pageerror", (error) => wrong.push(String(error)));
const list = async () => {
  await page.goto(`${address}#/review`);
  await page.locator(".findings li").first().waitFor({ timeout: 240000 });
  await page.locator("select").first().selectOption("unlike");
};

try {
  await list();
  done.listed = await page.locator(".findings small").allTextContents();
  await page.locator(".findings button").first().click();
  await page.locator(".finding", { hasText: "0 of" }).waitFor();
  done.message = await page.locator(".finding p").textContent();
  if (folder) await page.screenshot({ path: `${folder}/unlike.png` });
  await page.keyboard.press("y");
  await page.locator(".finding", { hasText: "1 of" }).waitFor();
  await page.keyboard.press("d");
  await page.locator(".finding form input").fill("a new camera");
  await page.keyboard.press("Enter");
  await page.locator(".finding", { hasText: "2 of" }).waitFor();

  // after a new check both are still settled
  await list();
  await page.locator("button", { hasText: "Check again" }).click();
  await page.locator("progress[value='2']").waitFor({ timeout: 240000 });
  done.open = await page.locator(".findings ul").getAttribute("aria-label");
  await page.locator("label", { hasText: "open only" }).locator("input").uncheck();
  done.all = await page.locator(".findings small").allTextContents();
  await page.goto(`${address}#/report`);
  await page.locator("td", { hasText: "a new camera" }).waitFor();
  done.report = await page.locator("tbody tr").allInnerTexts();
} catch (error) {
  wrong.push(String(error), JSON.stringify(done));
  if (folder) await page.screenshot({ path: `${folder}/unlike-failed.png` });
} finally {
  await browser.close();
}
console.log(JSON.stringify({ done, wrong }));
process.exitCode = wrong.length ? 1 : 0;
