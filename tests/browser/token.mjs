// A page of a server that wants a token.

import assert from "node:assert/strict";
import { script, sql, until } from "./ask.mjs";
import { live, open, server } from "./browser.mjs";

const { page, seen, close } = await open({ width: 1000, height: 800 });
const isOpen = () => page.$eval("#token-dialog", (dialog) => dialog.open);
const give = async (token) => {
  await page.fill("#token", token);
  await page.keyboard.press("Enter");
};

await script({
  async "nothing is shown without a token"() {
    assert.equal((await fetch(`${server}/v1/source`)).status, 401);
    await page.goto(server);
    await until("it asks", isOpen);
    assert.equal(await page.evaluate(() => document.activeElement.id), "token");
    await page.keyboard.press("Escape");
    assert.ok(await isOpen(), "there is nothing behind it");
  },
  async "a wrong one is asked for again"() {
    await give("guessed");
    await until("it asks again", async () => (await isOpen()) && /not take/.test(await page.textContent("#token-why")));
  },
  async "the right one opens it, and stays in this tab"() {
    await give("open sesame");
    await live(page);
    assert.ok(!(await isOpen()));
    await sql("select maze.start_experiment('behind the door')");
    await page.waitForSelector(".experiment[data-steps] >> text=behind the door");
    await until("the slot is looked at", () =>
      page.$eval("#source-card", (card) => card.dataset.known !== undefined));
    await page.reload();
    await live(page);
    assert.ok(!(await isOpen()));
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, document.cookie]));
    assert.ok(!kept.includes("sesame"), kept);
    assert.deepEqual(seen.addresses.filter((address) => /sesame|guessed/.test(address)), []);
  },
  async "nobody else was asked, and nothing went wrong"() {
    assert.deepEqual(seen.errors, []);
    await close();
  },
});
