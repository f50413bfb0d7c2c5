// Tokens that end while streams run: the client library in Node and in Chromium, over WebSocket and over Server-Sent
// Events, and the page, which asks the person in time.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { follow } from "../../crates/walgate-sink-websocket/web/client/dist/index.js";
import { script, sql, until } from "./ask.mjs";
import { live, open, server } from "./browser.mjs";

const WebSocket = createRequire(`${process.env.MODULES}/x.js`)("ws");
const library = new URL("../../crates/walgate-sink-websocket/web/client/dist/index.js", import.meta.url);
const base64 = (text) => Buffer.from(text).toString("base64url");

/** A JSON Web Token for so many seconds. */
function sign(seconds) {
  const exp = Math.floor(Date.now() / 1_000) + seconds;
  const text = `${base64('{"alg":"HS256"}')}.${base64(JSON.stringify({ sub: "test", exp }))}`;
  const signature = createHmac("sha256", process.env.JWT_KEY).update(text).digest("base64url");
  return { token: `${text}.${signature}`, exp };
}

/**
 * What gives tokens to one stream, and notes how it does. The first token lives shortly; the next ones twice as long
 * each, so that on a machine that stands still for seconds one of them is renewed in time all the same.
 */
function tokens(name, keepsConnection) {
  const own = { name, reasons: [], rows: [], state: "connecting", end: undefined };
  let exp = 0;
  own.give = (reason) => {
    if (reason === "refused") own.end = undefined;
    const signed = sign(5 * 2 ** Math.min(own.reasons.length, 6));
    own.reasons.push(reason);
    exp = signed.exp;
    return signed.token;
  };
  own.note = ({ name: state }) => {
    own.state = state;
    // An event stream leaves its connection to take the next token.
    if (state !== "live" && keepsConnection) own.end = undefined;
    // When the token ends that it has begun with.
    if (state === "live") own.end ??= exp * 1_000;
  };
  own.row = (id) => void own.rows.push(id);
  return own;
}

const streams = [];
const stop = new Set();
const { page, seen: browser, close } = await open({ width: 1000, height: 800 });

function inNode(transport) {
  const own = tokens(`node ${transport}`, transport === "websocket");
  const stream = follow(server, {
    WebSocket, transport, backoff: { firstMs: 50, mostMs: 500 },
    subscriptions: [{ tables: ["public.beat"] }],
    token: own.give, onState: own.note, onEvent: (event) => own.row(event.key.id),
  });
  stop.add(() => stream.close());
  streams.push(own);
}

async function inChromium(transport) {
  const own = tokens(`chromium ${transport}`, transport === "websocket");
  for (const name of ["give", "note", "row"]) await page.exposeFunction(`${name}_${transport}`, own[name]);
  await page.evaluate((transport) => {
    const call = (name, said) => globalThis[`${name}_${transport}`](said);
    globalThis.follow(location.href, {
      transport, backoff: { firstMs: 50, mostMs: 500 },
      subscriptions: [{ tables: ["public.beat"] }],
      token: (reason) => call("give", reason),
      onState: ({ name }) => void call("note", { name }),
      onEvent: (event) => void call("row", event.key.id),
    });
  }, transport);
  streams.push(own);
}

/** Live, and for longer than the token was good that it began with. */
const outlived = (own) => own.state === "live" && Date.now() > own.end + 200;

/** A page that has got a token for so many seconds; when that ends, and what a person does there. */
async function sitDown(tab, seconds) {
  const dialog = tab.locator("#token-dialog");
  const asks = (selector) => until(`it asks ${selector}`, () => dialog.evaluate((it, now) => it.open && it.matches(now), selector));
  const enter = async (token) => {
    await tab.fill("#token", token);
    await tab.keyboard.press("Enter");
  };
  await tab.goto(server);
  await asks(":modal");
  const { token, exp } = sign(seconds);
  await enter(token);
  await live(tab);
  await asks("*");
  const isInTime = await dialog.evaluate((it) => !it.matches(":modal"));
  return { dialog, asks, enter, isInTime, end: exp * 1_000 };
}

/** A person whose token ends soon is asked for the next one, with the page as it is; true when that was in time. */
async function person(tab, seconds) {
  const { dialog, enter, isInTime, end } = await sitDown(tab, seconds);
  if (!isInTime) return false;
  assert.match(await tab.textContent("#token-title"), /ends soon/);
  await enter(sign(3_600).token);
  await until("the end of the first", () => Date.now() > end + 200);
  if (await dialog.evaluate((it) => it.open)) return false;
  await live(tab);
  return true;
}

/** Who does it later is asked again when the token has ended, and goes on then. */
async function lazyPerson() {
  const tab = await page.context().newPage();
  const { asks, enter, isInTime } = await sitDown(tab, 5);
  if (isInTime) await tab.click("#token-later");
  await asks(":modal");
  await enter(sign(3_600).token);
  await until("it has closed", () => tab.$eval("#token-dialog", (it) => !it.open));
  await live(tab);
}

async function patientPerson() {
  for (let seconds = 5; ; seconds *= 2) {
    const tab = await page.context().newPage();
    if (await person(tab, seconds)) return;
    await tab.close();
    assert.ok(seconds < 100, "it never asks in time");
  }
}

let persons;

await script({
  async "streams and a page are given tokens that end"() {
    await sql("create table public.beat (id int primary key)");
    await page.goto(server);
    // The page's own policy lets no script of others in: this one comes from the debugger.
    const source = readFileSync(library, "utf8").replace(/^export \{[^}]*\};?$/m, "globalThis.follow = follow;");
    await page.evaluate(`(() => {${source}})()`);
    persons = Promise.all([patientPerson(), lazyPerson()]);
    // Until they are waited for.
    persons.catch(() => {});
    for (const transport of ["websocket", "events"]) {
      inNode(transport);
      await inChromium(transport);
    }
    await until("all are live", () => streams.every((own) => own.state === "live"));
  },
  async "streams outlive them without loss or repeat"() {
    let rows = 0;
    await until("all have outlived a token", async () => {
      rows += 1;
      await sql(`insert into public.beat values (${rows})`);
      return streams.every(outlived);
    });
    const all = Array.from({ length: rows }, (_, index) => index + 1);
    for (const own of streams) {
      await until(`${own.name} has all rows`, () => own.rows.length >= rows);
      assert.deepEqual(own.rows, all, own.name);
      assert.ok(own.reasons.includes("expires"), `${own.name}: ${own.reasons}`);
    }
    for (const end of stop) end();
  },
  async "the page asks before its token ends, and nothing is interrupted"() {
    await persons;
    assert.deepEqual(browser.addresses.filter((address) => /eyJ/.test(address)), []);
    assert.deepEqual(browser.errors.filter((error) => /exception/.test(error)), []);
    await close();
  },
});
