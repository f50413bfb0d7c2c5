// The page in a real Chromium: what it shows is what the table holds, whatever happens in between.

import assert from "node:assert/strict";
import { join } from "node:path";
import { cut, lose, query, script, sql, start, stop, until } from "./ask.mjs";
import { live, open, server } from "./browser.mjs";

const { page, seen, close } = await open({ width: 1440, height: 900 });
const text = (selector) => page.textContent(selector);
const isLive = () => live(page);
const tick = (times) => sql(`do $$ begin for n in 1 .. ${times} loop perform maze.tick(2, 1); end loop; end $$`);

/** Steps that the page has shown, of each experiment that it knows. */
const shownSteps = () => page.$$eval(".experiment[data-steps]", (labels) =>
  Object.fromEntries(labels.map((label) => [label.dataset.id, Number(label.dataset.steps)])));

async function heldSteps() {
  const rows = await query(
    "select json_build_array(e.id, (select count(*) from maze.agent_actions a where a.experiment_id = e.id))::text " +
    "from maze.experiments e order by e.id");
  return Object.fromEntries(rows.map((row) => JSON.parse(row)));
}

/** Waits until the page has what the table has, and nothing more. */
async function agrees() {
  const held = await heldSteps();
  let shown;
  try {
    await until("the page shows every step", async () => {
      shown = await shownSteps();
      return Object.entries(held).every(([id, steps]) => (shown[id] ?? 0) >= steps);
    });
  } finally {
    assert.deepEqual(shown, held);
  }
}

/** Waits until the server has taken this filter. */
const filtered = (wanted) => until("the filter is taken", async () =>
  (await page.getAttribute("#changes", "data-filter")) === JSON.stringify(wanted));

const operations = () => page.$$eval("#rows tr", (rows) => rows.map((row) => row.dataset.op));

await script({
  async "it opens, and shows what was there before it"() {
    await sql("select maze.start_experiment('first', 12, 8, 3)");
    await tick(10);
    await page.goto(server);
    await isLive();
    await agrees();
  },
  async "a step is shown as it is committed"() {
    const delays = [];
    for (let round = 0; round < 5; round += 1) {
      const before = await page.evaluate(() => [...document.querySelectorAll(".experiment[data-steps]")].length);
      assert.ok(before > 0);
      const begun = Date.now();
      await tick(1);
      const last = (await query("select max(id)::text from maze.agent_actions"))[0];
      await page.waitForFunction((id) =>
        [...document.querySelectorAll("#rows td.key")].some((cell) => cell.textContent === id), last);
      delays.push(Date.now() - begun);
    }
    await agrees();
    console.log(`  from the statement to the screen: ${delays.join(", ")} ms; the page says ${await text("#latency")}`);
  },
  async "the canvas moves"() {
    const picture = () => page.$eval("#maze", (canvas) => canvas.toDataURL());
    const before = await picture();
    await tick(3);
    await until("the picture has changed", async () => (await picture()) !== before);
  },
  async "a restart of Walgate in the middle loses and repeats nothing"() {
    await tick(5);
    // From here on connections break, and the browser says so.
    seen.isAway = true;
    await stop();
    await until("the page says so", async () => /Reconnecting|restarts|Connecting/.test(await text("#connection-text")));
    await tick(20);
    await start();
    await isLive();
    await tick(5);
    await agrees();
  },
  async "broken connections lose and repeat nothing"() {
    for (let round = 0; round < 3; round += 1) {
      await tick(3);
      await cut();
      await tick(3);
    }
    await isLive();
    await agrees();
  },
  async "one experiment is chosen, and the server leaves out the others"() {
    const running = await query("select id::text from maze.experiments where state = 'running' order by id desc");
    const [id, other] = running;
    await page.check(`input[name=experiment][value="${id}"]`);
    await isLive();
    await until("only its steps are shown", async () => {
      const [shown, held] = [await shownSteps(), await heldSteps()];
      return shown[id] === held[id] && !shown[other];
    });
    await sql(`select maze.step(e, 1) from maze.experiments e where state = 'running'`);
    await until("its steps are there", async () => (await shownSteps())[id] === (await heldSteps())[id]);
    assert.equal((await shownSteps())[other] ?? 0, 0);
    await page.keyboard.press("0");
    await isLive();
    await agrees();
  },
  async "the table is filtered by the server, and a wrong filter is explained"() {
    // A column is missing only in a table that the server has seen since its start.
    await sql("select maze.start_experiment('seen')");
    await agrees();
    await page.fill("#filter-table", "maze.experiments");
    await page.fill("#filter-where", "nothing = 1");
    await page.press("#filter-where", "Enter");
    await page.waitForSelector("#filter-error:not([hidden])");
    assert.match(await text("#filter-error"), /nothing/);
    await page.fill("#filter-where", "name = 'mine'");
    await page.press("#filter-where", "Enter");
    await page.waitForSelector("#filter-error", { state: "hidden" });
    await filtered({ tables: ["maze.experiments"], where: "name = 'mine'" });
    await until("it begins anew", async () => (await operations()).length === 0);
    await sql("select maze.start_experiment('other'); select maze.start_experiment('mine')");
    await sql("update maze.experiments set name = 'mine', steps = 7 where name = 'mine'");
    await until("the two changes are there", async () => (await operations()).length === 2);
    assert.deepEqual(await operations(), ["update", "insert"]);
    assert.match(await text("#rows tr:first-child .changed"), /steps.*0.*7/);
    await page.fill("#filter-table", "");
    await page.fill("#filter-where", "");
    await page.press("#filter-where", "Enter");
  },
  async "search, operations and pause are for what is shown"() {
    await filtered({});
    await tick(2);
    // Each step that goes is a delete: more than the table shows, and what it shows are the inserts behind them.
    await sql("delete from maze.experiments; select maze.start_experiment('shown')");
    await until("changes come", async () => (await operations()).includes("insert"));
    await page.fill("#search", "no such thing");
    await page.waitForSelector("#rows-empty:not([hidden])");
    await page.fill("#search", "");
    await page.waitForSelector("#rows tr");
    await page.uncheck("input[value=insert]", { force: true });
    await until("no insert is shown", async () => !(await operations()).includes("insert"));
    await page.check("input[value=insert]", { force: true });
    await page.waitForSelector('#rows tr[data-op="insert"]');
    await page.locator("#changes-title").click();
    await page.keyboard.press("p");
    assert.equal(await page.getAttribute("#pause", "aria-pressed"), "true");
    const before = await text("#rows tr:first-child td.key");
    await tick(2);
    await until("changes wait", async () => /^[1-9]\d* more wait/.test(await text("#changes-count")));
    assert.equal(await text("#rows tr:first-child td.key"), before);
    await page.keyboard.press("p");
    await until("they are shown", async () => (await text("#rows tr:first-child td.key")) !== before);
  },
  async "everything is reached with the keyboard, and has a name"() {
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "search");
    await page.keyboard.press("Escape");
    await page.focus('#rows tr[tabindex="0"]');
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#event-dialog[open]");
    assert.match(await text("#event-json"), /"op"/);
    await page.keyboard.press("Escape");
    await page.waitForSelector("#event-dialog[open]", { state: "hidden" });
    const nameless = await page.evaluate(() => {
      const isNamed = (element) =>
        element.getAttribute("aria-label") || element.labels?.length || element.textContent.trim() ||
        element.getAttribute("aria-labelledby");
      const all = document.querySelectorAll("button, input, select, a, canvas, svg[role], dialog, section, table");
      return [...all].filter((element) => !isNamed(element)).map((element) => element.outerHTML.slice(0, 80));
    });
    assert.deepEqual(nameless, []);
    assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
    const ids = await page.$$eval("[id]", (all) => all.map((element) => element.id));
    assert.equal(new Set(ids).size, ids.length, "an id is there twice");
    // One polite region, and the table is none: it would never be quiet.
    assert.equal(await page.locator("[aria-live], [role=status], [role=log]").count(), 1);
  },
  async "text can be read, light and dark"() {
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      const weak = await page.evaluate(contrasts);
      assert.deepEqual(weak, [], scheme);
    }
    await page.emulateMedia({ colorScheme: "light" });
  },
  async "on a phone nothing is cut off, and calm is kept"() {
    await page.setViewportSize({ width: 390, height: 844 });
    await page.emulateMedia({ reducedMotion: "reduce" });
    await tick(2);
    await agrees();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    const animated = await page.evaluate(() => document.getAnimations().length);
    assert.equal(animated, 0);
    await page.screenshot({ path: join(process.env.PICTURES, "page-phone.png"), fullPage: true });
    await page.emulateMedia({ reducedMotion: "no-preference" });
    await page.setViewportSize({ width: 1440, height: 900 });
  },
  async "a thousand changes a second, and memory has a bound"() {
    await sql("create table if not exists public.busy (id int primary key, v int); insert into public.busy values (1, 0)");
    const slowest = page.evaluate(() => new Promise((resolve) => {
      const frames = [];
      let last = performance.now();
      const end = last + 3000;
      const frame = (now) => {
        frames.push(now - last);
        last = now;
        if (now < end) requestAnimationFrame(frame);
        else resolve(frames.sort((a, b) => a - b)[Math.floor(frames.length * 0.95)]);
      };
      requestAnimationFrame(frame);
    }));
    for (let round = 0; round < 15; round += 1) {
      await sql(`do $$ begin for n in 1 .. 200 loop update public.busy set v = v + 1; end loop; end $$`);
    }
    console.log(`  95 % of frames within ${Math.round(await slowest)} ms`);
    await until("the last is shown", async () => /v.*3000/.test(await text("#rows tr:first-child td.row")));
    assert.ok((await operations()).length <= 100);
  },
  async "an EventSource of the browser follows and resumes"() {
    await page.evaluate(() => {
      window.heard = [];
      const source = new EventSource("/v1/events?table=public.busy");
      source.onmessage = (event) => window.heard.push([event.lastEventId, JSON.parse(event.data).after.v]);
      source.addEventListener("ready", () => (window.isReady = true));
      window.source = source;
    });
    await page.waitForFunction(() => window.isReady);
    await sql("update public.busy set v = 1");
    await page.waitForFunction(() => window.heard.length === 1);
    await stop();
    await sql("update public.busy set v = 2");
    await start();
    await page.waitForFunction(() => window.heard.length >= 2);
    assert.deepEqual(await page.evaluate(() => window.heard.map((one) => one[1])), [1, 2]);
    await page.evaluate(() => window.source.close());
    await isLive();
  },
  async "what is gone is said, and the maze begins anew"() {
    await page.screenshot({ path: join(process.env.PICTURES, "page.png") });
    await stop();
    await lose();
    await start();
    await page.waitForSelector("#notice:not([hidden])");
    assert.match(await text("#notice"), /Resync/);
    await isLive();
    // What was before is not there any more; a new experiment is shown whole.
    await sql("delete from maze.experiments; select maze.start_experiment('new')");
    await tick(3);
    await agrees();
  },
  async "a canvas without room is left empty"() {
    const isDrawn = () => page.$eval("#maze", (canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.some((byte) => byte !== 0);
    });
    const size = (height) => page.$eval("#maze", (canvas, height) => (canvas.style.height = height), height);
    await until("there is something to see", isDrawn);
    await size("3px");
    await until("it is empty", async () => !(await isDrawn()));
    await size("");
    await until("it is there again", isDrawn);
  },
  async "nobody else was asked, and nothing went wrong"() {
    assert.deepEqual(seen.errors, []);
    await close();
  },
});

/** Texts whose contrast is less than WCAG's 4.5 : 1, by the colours that are computed. */
function contrasts() {
  const parse = (colour) => {
    const numbers = colour.match(/[\d.]+/g).map(Number);
    return { rgb: numbers.slice(0, 3), alpha: numbers[3] ?? 1 };
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, alpha } = parse(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const weak = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility?.() || element.closest("tr.new, dialog:not([open])")) continue;
    const { rgb, alpha } = parse(getComputedStyle(element).color);
    if (alpha < 1) continue;
    const [a, b] = [light(rgb), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) weak.add(`${element.tagName}.${element.className}: ${ratio.toFixed(2)}`);
  }
  return [...weak];
}
