// Plays frames with tracks in Chromium: node browser/play.mjs ADDRESS [FOLDER for pictures]. Any error of the console fails.

import { axe, browser } from "./chromium.mjs";

const [address, folder] = process.argv.slice(2);
const wrong = [];
const done = {};

/** The colour of the first track. */
const rowColour = (page) => page.locator(".spans i").first().evaluate((node) => getComputedStyle(node).backgroundColor);

try {
  for (const scheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: scheme, bypassCSP: true });
    const page = await context.newPage();
    page.on("console", (m) => m.type() === "error" && wrong.push(m.text()));
    page.on("pageerror", (error) => wrong.push(String(error)));
    await page.goto(address);
    await page.locator("a", { hasText: "Play" }).click();
    await page.locator(".tracks li").first().waitFor({ timeout: 60000 });
    await page.keyboard.press("ArrowRight");
    await page.locator("header span", { hasText: "2 of" }).waitFor();
    done.tracks = await page.locator(".tracks ul").getAttribute("aria-label");
    done.row = await rowColour(page);
    await page.locator(".tracks button").nth(1).click();
    await page.waitForTimeout(500);
    if (folder) await page.screenshot({ path: `${folder}/play-${scheme}.png` });
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    for (const v of found.violations.filter((v) => ["serious", "critical"].includes(v.impact))) wrong.push(`axe, ${scheme}: ${v.id}: ${v.nodes.map((n) => n.target).join("; ")}`);
    const seen = page.evaluate(
      () => new Promise((resolve) => {
        const numbers = new Set();
        const look = () => {
          numbers.add(document.querySelector("header span").textContent);
          if (numbers.size < 12) requestAnimationFrame(look);
          else resolve([...numbers]);
        };
        look();
      }),
    );
    await page.keyboard.press("p");
    done.played = await seen;
    await page.keyboard.press("p");
    await page.keyboard.press("Home");
    await page.keyboard.press("e");
    await page.locator(".list li").first().waitFor();
    done.list = await page.locator(".list button").evaluateAll((nodes) => nodes.map((node) => [node.textContent, getComputedStyle(node.querySelector("i")).backgroundColor]));
    if (scheme === "dark") {
      await page.locator(".list button", { hasText: "#7" }).click();
      await page.keyboard.press("j");
      await page.locator("header span", { hasText: "2 of" }).waitFor();
      await page.locator(".list li").first().waitFor();
      done.copied = await page.locator(".list button").allTextContents();
    }
    await context.close();
  }
} catch (error) {
  wrong.push(String(error), JSON.stringify(done));
  if (folder) await browser.contexts()[0]?.pages()[0]?.screenshot({ path: `${folder}/play-failed.png` });
} finally {
  await browser.close();
}
console.log(JSON.stringify({ done, wrong }));
process.exitCode = wrong.length ? 1 : 0;
