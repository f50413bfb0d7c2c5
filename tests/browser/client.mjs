// The client library in Node, over WebSocket and over Server-Sent Events, against a real server.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { StreamError, follow } from "../../crates/walgate-sink-websocket/web/client/dist/index.js";
import { cut, lose, script, sql, start, stop, until } from "./ask.mjs";

const WebSocket = createRequire(`${process.env.MODULES}/x.js`)("ws");
const server = process.env.WALGATE;
// Attempts come quickly: the service is away for a moment only.
const options = { WebSocket, backoff: { firstMs: 50, mostMs: 500 } };
let table = 0;

/** A table of its own for each step, and a stream that counts its rows. */
async function counted(more) {
  table += 1;
  const name = `public.c${table}`;
  await sql(`create table ${name} (id int primary key, v text)`);
  const seen = [];
  const stream = follow(server, {
    ...options,
    subscriptions: [{ id: "own", tables: [name] }],
    onEvent: (event) => seen.push(event.key.id),
    ...more,
  });
  if (!more.from) await live(stream);
  return { name, seen, stream };
}

const live = (stream) => until("it is live", () => stream.state.name === "live");
const insert = (name, from, to) => sql(`insert into ${name} select g, 'x' from generate_series(${from}, ${to}) g`);
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

async function has(seen, count) {
  await until(`${count} events are there`, () => seen.length >= count);
  assert.deepEqual(seen, numbers(1, count));
}

function steps(transport) {
  const of = (more = {}) => counted({ transport, ...more });
  return {
    async [`${transport}: follows across cuts and a restart without loss or repeat`]() {
      const states = [];
      const { name, seen, stream } = await of({ onState: (state) => states.push(state.name) });
      for (let round = 0; round < 4; round += 1) {
        await insert(name, round * 50 + 1, round * 50 + 25);
        await cut();
        await insert(name, round * 50 + 26, round * 50 + 50);
      }
      await has(seen, 200);
      await live(stream);
      await stop();
      await until("it has noticed", () => stream.state.name !== "live");
      await insert(name, 201, 250);
      await start();
      await has(seen, 250);
      await live(stream);
      assert.ok(states.includes("waiting"), states.join());
      stream.close();
      assert.equal(stream.state.name, "closed");
    },
    async [`${transport}: the position resumes another stream`]() {
      const { name, seen, stream } = await of();
      await insert(name, 1, 10);
      await has(seen, 10);
      const { position } = stream;
      stream.close();
      await insert(name, 11, 20);
      const later = [];
      const second = follow(server, {
        ...options, transport, after: position,
        subscriptions: [{ tables: [name] }], onEvent: (event) => later.push(event.key.id),
      });
      await until("the rest is there", () => later.length >= 10);
      assert.deepEqual(later, numbers(11, 20));
      second.close();
      const all = [];
      const third = follow(server, {
        ...options, transport, from: "oldest",
        subscriptions: [{ tables: [name] }], onEvent: (event) => all.push(event.key.id),
      });
      await has(all, 20);
      third.close();
    },
    async [`${transport}: a subscription changes, and a wrong one changes nothing`]() {
      const { name, seen, stream } = await of();
      await insert(name, 1, 1);
      await has(seen, 1);
      if (transport === "websocket") {
        // Known, so that a column that is not there can be told.
        await assert.rejects(
          stream.subscribe({ id: "wrong", tables: [name], where: "nothing = 1" }),
          /nothing/,
        );
        await stream.subscribe({ id: "some", tables: [name], where: "id > 5" });
        await stream.unsubscribe("own");
        await insert(name, 2, 8);
        await until("some are there", () => seen.length >= 4);
        assert.deepEqual(seen, [1, 6, 7, 8]);
      }
      stream.close();
      const refused = follow(server, { ...options, transport, subscriptions: [{ where: "((" }] });
      await assert.rejects(
        async () => { for await (const _ of refused); },
        (error) => error instanceof StreamError && error.code === 4400,
      );
    },
    async [`${transport}: a loop that reads slowly gets everything with little memory`]() {
      const { name, seen, stream } = await of({ onEvent: undefined, maxWaiting: 40 });
      await insert(name, 1, 300);
      await until("it pauses", () => stream.state.name === "paused");
      for await (const event of stream) {
        seen.push(event.key.id);
        if (seen.length === 300) break;
      }
      await has(seen, 300);
      assert.equal(stream.state.name, "closed");
    },
    async [`${transport}: what is gone is said`]() {
      const { name, seen, stream } = await of();
      const told = [];
      const goesOn = await of({ onResync: (answer) => (told.push(answer), "live") });
      await insert(name, 1, 5);
      await has(seen, 5);
      await stop();
      await lose();
      await start();
      await until("it has ended", () => stream.state.name === "closed");
      const { error } = stream.state;
      assert.equal(error.code, 4410, error.message);
      assert.ok(error.oldest > "0", error.oldest);
      await live(goesOn.stream);
      assert.equal(told.length, 1, JSON.stringify(told));
      assert.equal(told[0].type, "resync_required");
      await insert(goesOn.name, 1, 3);
      await has(goesOn.seen, 3);
      goesOn.stream.close();
    },
  };
}

await script({
  ...steps("websocket"),
  ...steps("events"),
  async "event streams are taken where no WebSocket passes"() {
    class Blocked {
      readyState = 3;
      constructor() {
        setTimeout(() => this.onclose?.({ code: 1006, reason: "" }), 1);
      }
      send() {}
      close() {}
    }
    const { name, seen, stream } = await counted({ WebSocket: Blocked });
    await insert(name, 1, 3);
    await has(seen, 3);
    stream.close();
  },
});
