// What needs no server: positions, intervals, the reader of event streams, and how a stream acts on what it is
// told. `tests/browser/client.mjs` of the repository has the rest, against a real one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff, EventStreamParser, follow, isPosition, remedy } from "../dist/index.js";

/** A server in a script: what it is told, and what it says. */
class Server {
  sockets = [];
  constructor() {
    const server = this;
    this.WebSocket = class {
      readyState = 0;
      said = [];
      constructor(address, protocols) {
        this.address = address;
        this.protocols = protocols;
        server.sockets.push(this);
        queueMicrotask(() => {
          this.readyState = 1;
          this.onopen?.({});
        });
      }
      send(text) {
        this.said.push(JSON.parse(text));
      }
      close() {
        this.readyState = 3;
      }
      tell(message) {
        this.onmessage?.({ data: JSON.stringify(message) });
      }
      end(code, reason = "") {
        this.readyState = 3;
        this.onclose?.({ code, reason });
      }
    };
  }
  async socket(number) {
    await until(() => this.sockets[number]?.said.length > 0);
    return this.sockets[number];
  }
}

async function until(condition) {
  for (let tries = 0; !condition(); tries += 1) {
    if (tries > 20_000) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const id = (lsn, index = 2) => `${lsn.toString(16).padStart(16, "0")}-${index.toString(16).padStart(8, "0")}`;
const ready = (position, more = {}) => ({
  type: "ready", position, delivery: "resumable", subscriptions: [{ id: "0", exact: true }], ...more,
});
const insert = (lsn) => ({ id: id(lsn), op: "insert", key: { id: lsn } });
const quick = { firstMs: 1, mostMs: 2 };

test("intervals grow, are spread, and have a bound", () => {
  const [low, high] = [0, 0.999999].map((value) => new Backoff({ firstMs: 100, mostMs: 1_000, random: () => value }));
  assert.deepEqual([1, 2, 3, 4, 5, 6].map(() => low.next()), [10, 20, 40, 80, 100, 100]);
  assert.deepEqual([1, 2, 3, 4, 5, 6].map(() => high.next()), [100, 200, 400, 800, 1_000, 1_000]);
  for (let failures = 0; failures < 5_000; failures += 1) high.next();
  assert.equal(high.next(), 1_000);
  high.reset();
  assert.equal(high.next(), 100);
});

test("each close code has one remedy", () => {
  const by = (wanted) => [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009, 1011, 1013, 4400, 4401, 4408, 4409, 4410, 4411,
    4412, 4429, 4430, 4503, 4504, 4508].filter((code) => remedy(code) === wanted);
  assert.deepEqual(by("give-up"), [1002, 1003, 1007, 1009, 4400, 4411, 4412]);
  assert.deepEqual(by("token"), [4401]);
  assert.deepEqual(by("resync"), [4410]);
  assert.deepEqual(by("reconnect"), [1000, 1001, 1005, 1006, 1011, 1013, 4408, 4409, 4429, 4430, 4503, 4504, 4508]);
});

test("an id is a position, and nothing else is", () => {
  assert.ok(isPosition("00000000014a2f60-00000003"));
  for (const text of ["0/14A2F60", "", undefined, "00000000014A2F60-00000003", "00000000014a2f60-00000003 "]) {
    assert.ok(!isPosition(text), text);
  }
});

test("an event stream is the same wherever it is cut", () => {
  const text = "retry: 10\n\n:\n\nid: 1\ndata: {\"a\":\ndata: 1}\n\r\nevent: ready\r\nid:\r\ndata:x\r\n\r\nid: 2\n\ndata\n\n";
  const wanted = [{ id: "1", data: "{\"a\":\n1}" }, { event: "ready", id: "", data: "x" }, { id: "2" }, { data: "" }];
  for (let cut = 0; cut <= text.length; cut += 1) {
    const parser = new EventStreamParser();
    const blocks = [...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))];
    assert.deepEqual(blocks, wanted, `cut at ${cut}`);
  }
});

test("it resumes behind what it was given, and gives nothing twice", async () => {
  const server = new Server();
  const seen = [];
  const stream = follow("https://push.example/base/", {
    WebSocket: server.WebSocket, backoff: quick, onEvent: (event) => seen.push(event.key.id),
  });
  const first = await server.socket(0);
  assert.equal(first.address, "wss://push.example/base/v1/stream");
  assert.deepEqual(first.protocols, ["walgate.v1"]);
  assert.deepEqual(first.said[0], { type: "start", subscriptions: [{ id: "0" }] });
  first.tell(ready(id(1)));
  for (const lsn of [2, 3, 3, 2]) first.tell(insert(lsn));
  first.tell({ type: "position", position: id(9) });
  first.tell({ type: "something new" });
  first.end(1001);
  const second = await server.socket(1);
  assert.equal(second.said[0].after, id(9));
  for (const lsn of [9, 10]) second.tell(insert(lsn));
  assert.deepEqual(seen, [2, 3, 10]);
  // Events of the old connection come too late.
  first.tell(insert(11));
  assert.equal(stream.position, id(10));
  stream.close();
});

test("a copy that breaks begins anew, and its rows are no positions", async () => {
  const server = new Server();
  const told = [];
  const stream = follow("http://push.example", {
    WebSocket: server.WebSocket, backoff: quick, snapshot: true,
    onSnapshot: (phase, rows) => told.push([phase, rows]), onEvent: (event) => told.push(event.op),
  });
  const read = { id: id(50), op: "read", key: { id: 1 } };
  const first = await server.socket(0);
  assert.equal(first.said[0].snapshot, true);
  first.tell(read);
  first.tell(read);
  first.end(1006);
  const second = await server.socket(1);
  assert.equal(second.said[0].snapshot, true);
  assert.equal(second.said[0].after, undefined);
  assert.equal(stream.position, undefined);
  second.tell(read);
  second.tell({ type: "snapshot", rows: 1, position: id(50) });
  // What the copy does not hold, from before it.
  second.tell(insert(49));
  second.tell(ready(id(51)));
  second.end(1001);
  const third = await server.socket(2);
  assert.equal(third.said[0].after, id(51));
  assert.equal(third.said[0].snapshot, undefined);
  assert.deepEqual(told, [["begin", 0], "read", "read", ["begin", 0], "read", ["end", 1], "insert"]);
  stream.close();
});

test("a token is asked for again when it is refused, and before it expires", async () => {
  const server = new Server();
  const asked = [];
  const stream = follow("http://push.example", {
    WebSocket: server.WebSocket, backoff: quick,
    token: (reason) => (asked.push(reason), `token ${asked.length}`),
  });
  const first = await server.socket(0);
  assert.equal(first.said[0].token, "token 1");
  first.tell({ type: "closed", code: 4401, reason: "a valid token is needed", position: id(0) });
  first.end(4401);
  const second = await server.socket(1);
  assert.equal(second.said[0].token, "token 2");
  second.tell(ready(id(1), { expires: new Date(Date.now() + 300).toISOString() }));
  await until(() => second.said.length > 1);
  assert.deepEqual(second.said[1], { type: "token", token: "token 3" });
  second.tell({ type: "token", expires: new Date(Date.now() + 86_400_000_000).toISOString() });
  assert.deepEqual(asked, ["start", "refused", "expires"]);
  stream.close();
});

/** A stream that is live with a token, and a clock that stands still. */
async function withToken(context, lifetimeMs, random, token) {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  const settle = async () => {
    for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
  };
  const server = new Server();
  const stream = follow("http://push.example", {
    WebSocket: server.WebSocket, backoff: { random: () => random }, token, onEvent: () => {},
  });
  await settle();
  const [socket] = server.sockets;
  socket.tell(ready(id(1), { expires: new Date(Date.now() + lifetimeMs).toISOString() }));
  const pass = async (ms) => {
    context.mock.timers.tick(ms);
    await settle();
  };
  const end = () => {
    stream.close();
    context.mock.timers.reset();
  };
  return { socket, pass, end };
}

test("a token is asked for a tenth of its time before its end, in bounds and spread", async (context) => {
  for (const [lifetimeS, random, expectedS] of [
    [3_600, 0, 3_300], [3_600, 0.9999999, 3_150], [600, 0, 540], [600, 0.5, 525], [30, 0, 25], [8, 0, 4], [8, 0.9, 4],
  ]) {
    const asked = [];
    const { socket, pass, end } = await withToken(context, lifetimeS * 1_000, random, (reason) => (asked.push(reason), `token ${asked.length}`));
    await pass(expectedS * 1_000 - 2);
    assert.deepEqual(asked, ["start"], `${lifetimeS} ${random}`);
    await pass(4);
    assert.deepEqual(asked, ["start", "expires"], `${lifetimeS} ${random}`);
    assert.deepEqual(socket.said[1], { type: "token", token: "token 2" });
    end();
  }
});

test("a source that fails or gives the old token is asked again, and one that gives none is not", async (context) => {
  const answers = ["old", new Error("away"), "old", "new"];
  const source = () => {
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const first = await withToken(context, 100_000, 0, source);
  await first.pass(90_000);
  assert.deepEqual(answers, ["old", "new"]);
  await first.pass(5_000);
  assert.deepEqual(answers, ["new"]);
  assert.equal(first.socket.said.length, 1);
  await first.pass(2_500);
  assert.deepEqual(first.socket.said[1], { type: "token", token: "new" });
  first.end();

  const asked = [];
  const none = await withToken(context, 100_000, 0, (reason) => (asked.push(reason), reason === "start" ? "only" : undefined));
  await none.pass(90_000);
  await none.pass(9_999);
  assert.deepEqual(asked, ["start", "expires"]);
  assert.equal(none.socket.said.length, 1);
  none.end();
});

test("a token that is refused and no other ends it", async () => {
  const server = new Server();
  const stream = follow("http://push.example", { WebSocket: server.WebSocket, token: "wrong" });
  (await server.socket(0)).end(4401, "a valid token is needed");
  await assert.rejects(async () => { for await (const _ of stream); }, { code: 4401 });
  assert.equal(server.sockets.length, 1);
});

test("what can't be resumed is never silently live", async () => {
  const server = new Server();
  const stream = follow("http://push.example", { WebSocket: server.WebSocket, after: id(5) });
  const first = await server.socket(0);
  first.tell({ type: "resync_required", reason: "the position is not retained any more", oldest: id(8) });
  first.end(4410);
  await assert.rejects(async () => { for await (const _ of stream); }, { code: 4410, oldest: id(8) });
});

test("from the oldest asks for it, also where the answer is that nothing is kept", async () => {
  for (const [reason, wanted] of [["not retained", id(8)], ["nothing is replayed here: delivery is live-only", undefined]]) {
    const server = new Server();
    const stream = follow("http://push.example", { WebSocket: server.WebSocket, from: "oldest", onEvent: () => {} });
    const first = await server.socket(0);
    assert.equal(first.said[0].after, id(0, 0));
    assert.equal(stream.position, undefined);
    first.tell({ type: "resync_required", reason, oldest: id(8) });
    const second = await server.socket(1);
    assert.equal(second.said[0].after, wanted);
    stream.close();
  }
});

test("changes of subscriptions survive a broken connection", async () => {
  const server = new Server();
  const stream = follow("http://push.example", {
    WebSocket: server.WebSocket, backoff: quick, subscriptions: [{ id: "a" }], onEvent: () => {},
  });
  const first = await server.socket(0);
  first.tell(ready(id(1)));
  const added = stream.subscribe({ id: "b", tables: ["public.t"] });
  const refused = assert.rejects(stream.subscribe({ id: "c", where: "((" }), /never/);
  assert.deepEqual(first.said.slice(1).map((message) => message.id), ["b", "c"]);
  first.tell({ type: "error", code: "invalid", message: "never", subscription: "c" });
  await refused;
  first.end(1006);
  const second = await server.socket(1);
  assert.deepEqual(second.said[0].subscriptions, [{ id: "a" }, { id: "b", tables: ["public.t"] }]);
  second.tell(ready(id(1), { subscriptions: [{ id: "a", exact: true }, { id: "b", exact: true }] }));
  await added;
  const gone = stream.unsubscribe("a");
  second.tell({ type: "subscriptions", position: id(2), subscriptions: [{ id: "b", exact: true }] });
  await gone;
  stream.close();
  await assert.rejects(stream.subscribe({ id: "d" }), /closed/);
});
