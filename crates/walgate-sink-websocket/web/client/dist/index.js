// client/src/backoff.ts
var Backoff = class {
  failures = 0;
  first;
  most;
  random;
  constructor(options = {}) {
    this.first = options.firstMs ?? 500;
    this.most = options.mostMs ?? 3e4;
    this.random = options.random ?? Math.random;
  }
  /** Milliseconds until the next attempt. Never less than a tenth of the range. */
  next() {
    const range = Math.min(this.most, this.first * 2 ** Math.min(this.failures, 20));
    this.failures += 1;
    return Math.round(range * (0.1 + 0.9 * this.random()));
  }
  /** After a success. */
  reset() {
    this.failures = 0;
  }
};

// client/src/link.ts
function addressOf(server, path, scheme) {
  const base = new URL(String(server));
  const isSafe = base.protocol === "https:" || base.protocol === "wss:";
  base.protocol = isSafe ? `${scheme}s:` : `${scheme}:`;
  base.pathname = base.pathname.replace(/\/+$/, "") + path;
  base.search = "";
  base.hash = "";
  return base;
}

// client/src/event_stream_link.ts
function eventStreamLink(fetcher, server, start, listener) {
  const abort = new AbortController();
  let over = false;
  const end = (code, reason, refused) => {
    if (over) return;
    over = true;
    abort.abort();
    listener.ended(code, reason, refused);
  };
  void read(fetcher, server, start, listener, abort.signal, end, () => over);
  return {
    say: () => false,
    close() {
      over = true;
      abort.abort();
    }
  };
}
async function read(fetcher, server, start, listener, signal, end, isOver) {
  const address = addressOf(server, "/v1/events", "http");
  address.search = query(start).toString();
  const headers = { accept: "text/event-stream" };
  if (start.token !== void 0) headers["authorization"] = `Bearer ${start.token}`;
  try {
    const response = await fetcher(address.href, { headers, signal, cache: "no-store" });
    if (!response.ok || !response.body) {
      const reason = (await response.text()).trim();
      return end(codeOf(response.status), reason || `HTTP ${response.status}`, response.status);
    }
    listener.opened();
    const parser = new EventStreamParser();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (; ; ) {
      const { done, value } = await reader.read();
      if (isOver()) return;
      if (done) return end(1006, "the stream has ended");
      for (const block of parser.push(decoder.decode(value, { stream: true }))) {
        const closed = tell(block, listener);
        if (closed) return end(closed.code, closed.reason);
        if (isOver()) return;
      }
    }
  } catch (error) {
    end(1006, error instanceof Error ? error.message : String(error));
  }
}
function codeOf(status) {
  if (status === 401) return 4401;
  return status === 400 || status === 403 || status === 404 ? 4400 : 1006;
}
function tell(block, listener) {
  if (block.data === void 0) {
    if (block.id) listener.said({ type: "position", position: block.id }, block.id.length);
    return void 0;
  }
  const message = JSON.parse(block.data);
  listener.said(message, block.data.length);
  if (message.type === "closed") {
    return { code: message.code ?? 1006, reason: message.reason ?? "" };
  }
  if (message.type === "resync_required") return { code: 4410, reason: message.reason ?? "" };
  return void 0;
}
function query(start) {
  const parameters = new URLSearchParams();
  const wanted = start.subscriptions[0] ?? {};
  for (const table of wanted.tables ?? []) parameters.append("table", table);
  if (wanted.ops?.length) parameters.set("op", wanted.ops.join(","));
  if (wanted.where !== void 0) parameters.set("where", wanted.where);
  for (const column of wanted.columns ?? []) parameters.append("column", column);
  if (wanted.transactions) parameters.set("transactions", "true");
  if (wanted.strict) parameters.set("strict", "true");
  if (start.snapshot) parameters.set("snapshot", "true");
  if (start.after !== void 0) parameters.set("after", start.after);
  return parameters;
}
var EventStreamParser = class {
  rest = "";
  block = {};
  isEmpty = true;
  /** The blocks that this text completes. */
  *push(text) {
    this.rest += text;
    for (; ; ) {
      const found = /\r\n|\n|\r/.exec(this.rest);
      if (!found || found[0] === "\r" && found.index === this.rest.length - 1) return;
      const line = this.rest.slice(0, found.index);
      this.rest = this.rest.slice(found.index + found[0].length);
      if (line === "") {
        if (!this.isEmpty) yield this.block;
        this.block = {};
        this.isEmpty = true;
      } else {
        this.field(line);
      }
    }
  }
  field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") {
      this.block.data = this.block.data === void 0 ? value : `${this.block.data}
${value}`;
    } else if (name === "id" || name === "event") {
      this.block[name] = value;
    } else {
      return;
    }
    this.isEmpty = false;
  }
};

// client/src/protocol.ts
function remedy(code) {
  switch (code) {
    case 4401:
      return "token";
    case 4410:
      return "resync";
    // The client, or what it wants, has to be mended: the same again would be refused again.
    case 1002:
    case 1003:
    case 1007:
    case 1008:
    case 1009:
    case 1010:
    case 4400:
    // There is no such initial copy, or it is too large.
    case 4411:
    case 4412:
      return "give-up";
    default:
      return "reconnect";
  }
}
var POSITION = /^[0-9a-f]{16}-[0-9a-f]{8}$/;
function isPosition(text) {
  return typeof text === "string" && POSITION.test(text);
}

// client/src/inbox.ts
var Inbox = class {
  items = [];
  first = 0;
  waiting;
  end;
  get length() {
    return this.items.length - this.first;
  }
  put(item) {
    const waiting = this.waiting;
    if (waiting) {
      this.waiting = void 0;
      waiting.resolve({ value: item, done: false });
    } else {
      this.items.push(item);
    }
  }
  /** Nothing more comes; what is there can still be taken, then the error is thrown, if there is one. */
  finish(error) {
    if (this.end) return;
    this.end = error === void 0 ? {} : { error };
    const waiting = this.waiting;
    this.waiting = void 0;
    if (waiting && error !== void 0) waiting.reject(error);
    else waiting?.resolve({ value: void 0, done: true });
  }
  async take() {
    if (this.length > 0) {
      const value = this.items[this.first];
      this.items[this.first] = void 0;
      this.first += 1;
      if (this.first * 2 > this.items.length) {
        this.items = this.items.slice(this.first);
        this.first = 0;
      }
      return { value, done: false };
    }
    if (this.end) {
      if ("error" in this.end) throw this.end.error;
      return { value: void 0, done: true };
    }
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
    });
  }
};

// client/src/stream_options.ts
var StreamError = class extends Error {
  constructor(code, message, oldest) {
    super(message);
    this.code = code;
    this.oldest = oldest;
    this.name = "StreamError";
  }
  code;
  oldest;
};

// client/src/token.ts
var MARGIN_SHARE = 0.1;
var MARGIN_LEAST_MS = 5e3;
var MARGIN_MOST_MS = 3e5;
var LATEST_SHARE = 0.5;
var SPREAD = 0.5;
var AGAIN_LEAST_MS = 1e3;
var LONGEST_TIMER_MS = 2 ** 31 - 1;
var TokenKeeper = class {
  constructor(source, random = Math.random) {
    this.source = source;
    this.random = random;
  }
  source;
  random;
  token;
  isAsked = false;
  timer;
  /** The end that is watched for at the moment. */
  watched = {};
  /** Whether another token can be had than the one that was refused. */
  get canAsk() {
    return typeof this.source === "function";
  }
  /** The token for the next connection. */
  async current() {
    if (this.isAsked) return this.token;
    return this.ask("start");
  }
  /** Asks for another one. */
  async ask(reason) {
    const source = this.source;
    this.token = typeof source === "function" ? await source(reason) : source;
    this.isAsked = true;
    return this.token;
  }
  /**
   * Asks for another one before `expires`, and gives it to `renew`. A source that fails or still gives the old one is
   * asked again while that is good; one that gives none is asked when the server refuses the old one.
   */
  watch(expires, renew) {
    this.stop();
    const end = expires === void 0 ? Number.NaN : Date.parse(expires);
    if (Number.isNaN(end) || !this.canAsk) return;
    const left = end - Date.now();
    const margin = Math.min(Math.max(left * MARGIN_SHARE, MARGIN_LEAST_MS), MARGIN_MOST_MS);
    const early = margin * (1 + SPREAD * this.random());
    this.at(end - Math.min(early, left * LATEST_SHARE), end, renew);
  }
  stop() {
    clearTimeout(this.timer);
    this.timer = void 0;
    this.watched = {};
  }
  at(time, end, renew) {
    const wait = Math.max(0, time - Date.now());
    this.timer = setTimeout(
      wait > LONGEST_TIMER_MS ? () => this.at(time, end, renew) : () => void this.next(end, renew),
      Math.min(wait, LONGEST_TIMER_MS)
    );
  }
  async next(end, renew) {
    const { watched, token: old, source } = this;
    if (typeof source !== "function") return;
    let token = old;
    try {
      token = await source("expires");
    } catch {
    }
    if (token === void 0) return;
    const isNew = token !== old;
    if (isNew && this.token === old) this.token = token;
    if (this.watched !== watched) return;
    if (isNew) return renew(token);
    const again = Date.now() + Math.max(AGAIN_LEAST_MS, (end - Date.now()) * LATEST_SHARE);
    if (again < end) this.at(again, end, renew);
  }
};

// client/src/websocket_link.ts
var OPEN = 1;
var HANDSHAKE_MS = 15e3;
function webSocketLink(Maker, server, start, listener) {
  const socket = new Maker(addressOf(server, "/v1/stream", "ws").href, ["walgate.v1"]);
  let over = false;
  let told;
  const end = (code, reason) => {
    if (over) return;
    over = true;
    clearTimeout(patience);
    listener.ended(code, reason);
  };
  const patience = setTimeout(() => {
    end(1006, "the handshake takes too long");
    socket.close();
  }, HANDSHAKE_MS);
  socket.onopen = () => {
    clearTimeout(patience);
    if (over) return;
    listener.opened();
    socket.send(JSON.stringify(firstMessage(start)));
  };
  socket.onmessage = ((event) => {
    if (over || typeof event.data !== "string") return;
    let message;
    try {
      message = JSON.parse(event.data);
    } catch {
      end(1007, "the server has said what is no JSON");
      socket.close();
      return;
    }
    if (message.type === "closed" && typeof message.code === "number") {
      told = { code: message.code, reason: String(message.reason ?? "") };
    }
    listener.said(message, event.data.length);
  });
  socket.onerror = () => {
  };
  socket.onclose = ((event) => {
    end(told?.code ?? event.code ?? 1006, told?.reason ?? event.reason ?? "");
  });
  return {
    say(message) {
      if (over || socket.readyState !== OPEN) return false;
      socket.send(JSON.stringify(message));
      return true;
    },
    close() {
      over = true;
      clearTimeout(patience);
      socket.close(1e3);
    }
  };
}
function firstMessage(start) {
  const { token, after, snapshot, subscriptions } = start;
  return {
    type: "start",
    ...token === void 0 ? {} : { token },
    ...after === void 0 ? {} : { after },
    ...snapshot ? { snapshot: true } : {},
    subscriptions
  };
}

// client/src/wishes.ts
var Wishes = class {
  wanted = /* @__PURE__ */ new Map();
  changes = [];
  constructor(subscriptions) {
    for (const [index, wanted] of subscriptions.entries()) {
      const id = wanted.id ?? String(index);
      if (this.wanted.has(id)) throw new Error(`two subscriptions are called ${JSON.stringify(id)}`);
      this.wanted.set(id, { ...wanted, id });
    }
  }
  /** What the next connection begins with: also what was asked for while there was none. */
  forStart() {
    for (const change of this.changes) {
      change.isSaid = true;
      this.apply(change);
    }
    return [...this.wanted.values()];
  }
  get size() {
    return this.wanted.size;
  }
  change(id, added) {
    return new Promise((resolve, reject) => {
      this.changes.push({ id, added, isSaid: false, resolve, reject });
    });
  }
  /** Says what was not said yet. */
  say(say) {
    for (const change of this.changes) {
      if (change.isSaid) continue;
      const message = change.added ? { type: "subscribe", ...change.added } : { type: "unsubscribe", id: change.id };
      if (!say(message)) return;
      change.isSaid = true;
    }
  }
  /** Whether something waits for a connection. */
  get hasUnsaid() {
    return this.changes.some((change) => !change.isSaid);
  }
  /** The server has told what there is now. */
  confirmed(subscriptions) {
    const ids = new Set(subscriptions.map((own) => own.id));
    this.settle((change) => change.isSaid && ids.has(change.id) === (change.added !== void 0));
  }
  /** The server has refused one. Whether it was one of the changes. */
  refused(id, error) {
    const found = this.changes.find((change) => change.isSaid && change.id === id);
    if (!found) return false;
    this.changes = this.changes.filter((change) => change !== found);
    found.reject(error);
    return true;
  }
  /** The connection is gone, and with it what was said on it. */
  lost() {
    for (const change of this.changes) change.isSaid = false;
  }
  /** Nothing will come of what is still open. */
  end(error) {
    for (const change of this.changes) change.reject(error);
    this.changes = [];
  }
  settle(isDone) {
    const done = this.changes.filter(isDone);
    this.changes = this.changes.filter((change) => !done.includes(change));
    for (const change of done) {
      this.apply(change);
      change.resolve();
    }
  }
  apply(change) {
    if (change.added) this.wanted.set(change.id, { ...change.added, id: change.id });
    else this.wanted.delete(change.id);
  }
};

// client/src/stream.ts
var BEGINNING = "0000000000000000-00000000";
var DOUBT_AFTER = 2;
var MAX_WAITING = 1e5;
var Stream = class {
  constructor(server, options = {}) {
    this.server = server;
    this.options = options;
    this.backoff = new Backoff(options.backoff);
    this.tokens = new TokenKeeper(options.token, options.backoff?.random);
    this.wishes = new Wishes(options.subscriptions ?? [{}]);
    this.wantsSnapshot = options.snapshot === true;
    this.reached = options.after;
    if (options.from === "oldest" && !this.wantsSnapshot && this.reached === void 0) this.probe();
    queueMicrotask(() => void this.connect());
  }
  server;
  options;
  link;
  backoff;
  tokens;
  wishes;
  inbox = new Inbox();
  timer;
  now = { name: "connecting" };
  /** Everything up to here was handed on. */
  reached;
  /** The last id of this connection. */
  seen = "";
  wantsSnapshot;
  /** A probe for the oldest position, whose answer is no loss. */
  isProbing = false;
  hasStood = false;
  failures = 0;
  isReplayable = true;
  refusals = 0;
  /** The connection of the moment; another one has nothing to say any more. */
  attempt = {};
  /** What to resume from: everything up to here was handed on. Undefined before there is anything. */
  get position() {
    return this.isProbing ? void 0 : this.reached;
  }
  get state() {
    return this.now;
  }
  /** Adds a subscription at the stream's position. Settles when the server has answered. */
  subscribe(subscription) {
    return this.change(subscription.id, subscription);
  }
  /** Takes a subscription away. */
  unsubscribe(id) {
    return this.change(id, void 0);
  }
  /** Ends it. */
  close() {
    this.finish(void 0);
  }
  /** Makes a new connection now, behind the last event: after a wake-up, or when the network has changed. */
  reconnect() {
    if (this.now.name === "closed" || this.now.name === "paused") return;
    this.drop();
    void this.connect();
  }
  [Symbol.asyncIterator]() {
    if (this.options.onEvent) throw new Error("events go to onEvent: leave it out to iterate");
    return {
      next: async () => {
        const taken = await this.inbox.take();
        if (this.now.name === "paused" && this.inbox.length <= this.most / 2) {
          this.set({ name: "connecting" });
          void this.connect();
        }
        return taken;
      },
      return: async () => {
        this.close();
        return { value: void 0, done: true };
      }
    };
  }
  get most() {
    return this.options.maxWaiting ?? MAX_WAITING;
  }
  set(state) {
    this.now = state;
    this.options.onState?.(state);
  }
  probe() {
    this.reached = BEGINNING;
    this.isProbing = true;
  }
  change(id, added) {
    if (this.now.name === "closed") return Promise.reject(new Error("the stream is closed"));
    const settled = this.wishes.change(id, added);
    if (this.now.name === "live") {
      this.sayWishes();
      if (this.wishes.hasUnsaid) this.reconnect();
    }
    return settled;
  }
  sayWishes() {
    this.wishes.say((message) => this.link?.say(message) ?? false);
  }
  async connect() {
    if (this.now.name === "closed") return;
    this.set({ name: "connecting" });
    const attempt = {};
    this.attempt = attempt;
    let token;
    try {
      token = await this.tokens.current();
    } catch (error) {
      if (this.attempt === attempt) this.wait(1006, `no token: ${messageOf(error)}`);
      return;
    }
    if (this.attempt !== attempt || this.now.name === "closed") return;
    this.open(attempt, token);
  }
  open(attempt, token) {
    const start = {
      subscriptions: this.wishes.forStart(),
      token,
      after: this.wantsSnapshot ? void 0 : this.reached,
      snapshot: this.wantsSnapshot
    };
    this.seen = start.after !== void 0 && isPosition(start.after) ? start.after : "";
    const isCurrent = () => this.attempt === attempt;
    let isOpen = false;
    const listener = {
      opened: () => {
        if (!isCurrent()) return;
        isOpen = true;
        this.set({ name: "catching-up" });
        if (start.snapshot) this.options.onSnapshot?.("begin", 0);
      },
      said: (message) => {
        if (isCurrent()) this.hear(message);
      },
      ended: (code, reason) => {
        if (isCurrent()) this.ended(code, reason, isOpen);
      }
    };
    try {
      this.link = this.makeLink(start, listener);
    } catch (error) {
      this.finish(new StreamError(4400, messageOf(error)));
    }
  }
  makeLink(start, listener) {
    const { transport = "auto" } = this.options;
    const Maker = this.options.WebSocket ?? globalThis.WebSocket;
    const fetcher = this.options.fetch ?? ((address, init) => fetch(address, init));
    const isOne = this.wishes.size <= 1;
    const doubts = !this.hasStood && this.failures >= DOUBT_AFTER && this.failures % 2 === 0;
    const byEvents = transport === "events" || transport === "auto" && (!Maker || doubts && isOne);
    if (!byEvents) {
      if (!Maker) throw new Error("there is no WebSocket here: give one in the options");
      const stood = listener.opened;
      listener.opened = () => {
        this.hasStood = true;
        stood();
      };
      return webSocketLink(Maker, this.server, start, listener);
    }
    if (!isOne) throw new Error("Server-Sent Events carry one subscription");
    return eventStreamLink(fetcher, this.server, start, listener);
  }
  hear(message) {
    if (typeof message !== "object" || message === null) return;
    if ("op" in message) this.event(message);
    else this.answer(message);
  }
  event(event) {
    if (event.op !== "read" && event.id !== void 0) {
      if (event.id <= this.seen) return;
      this.seen = event.id;
      if (!this.wantsSnapshot) this.reached = event.id;
      this.isProbing = false;
    }
    if (this.options.onEvent) {
      this.options.onEvent(event);
      return;
    }
    this.inbox.put(event);
    if (this.inbox.length < this.most || this.wantsSnapshot) return;
    if (!this.isReplayable) {
      const reason = `more than ${this.most} events wait, and this server replays none`;
      return this.finish(new StreamError(4429, reason));
    }
    this.drop();
    this.set({ name: "paused" });
  }
  answer(answer) {
    switch (answer.type) {
      case "ready":
        return this.ready(answer);
      case "position":
        return this.arrived(answer.position);
      case "subscriptions":
        this.arrived(answer.position);
        return this.wishes.confirmed(answer.subscriptions);
      case "snapshot":
        this.options.onSnapshot?.("end", answer.rows);
        return;
      case "token":
        return this.watchToken(answer.expires);
      case "resync_required":
        return this.resync(answer);
      case "error": {
        const { code, message, subscription } = answer;
        if (this.now.name === "catching-up") return this.finish(new StreamError(4400, message));
        if (!this.wishes.refused(subscription, new Error(message))) {
          this.options.onRefused?.(code, message, subscription);
        }
        return;
      }
      default:
        return;
    }
  }
  ready(ready) {
    this.wantsSnapshot = false;
    this.isProbing = false;
    this.isReplayable = ready.delivery === "resumable";
    this.arrived(ready.position);
    this.backoff.reset();
    this.failures = 0;
    this.refusals = 0;
    this.wishes.confirmed(ready.subscriptions);
    this.watchToken(ready.expires);
    this.set({ name: "live", delivery: ready.delivery });
    this.options.onReady?.(ready);
    this.sayWishes();
  }
  arrived(position) {
    if (this.wantsSnapshot || !isPosition(position)) return;
    if (this.reached === void 0 || !isPosition(this.reached) || position > this.reached) {
      this.reached = position;
    }
    if (position > this.seen) this.seen = position;
  }
  watchToken(expires) {
    this.tokens.watch(expires, (token) => {
      if (this.now.name !== "live") return;
      if (this.link?.say({ type: "token", token }) === false) this.reconnect();
    });
  }
  resync(answer) {
    const { oldest } = answer;
    if (this.isProbing) {
      this.isProbing = false;
      const isNew = isPosition(oldest) && oldest !== this.reached;
      this.reached = isNew && !/live-only/.test(answer.reason) ? oldest : void 0;
      return this.again();
    }
    const choice = this.options.onResync?.(answer) ?? "stop";
    if (choice === "stop") return this.finish(new StreamError(4410, answer.reason, oldest));
    this.reached = void 0;
    this.wantsSnapshot = choice === "snapshot";
    if (choice === "oldest") {
      this.reached = isPosition(oldest) ? oldest : void 0;
    }
    this.again();
  }
  /** A new connection at once: the server has answered, and nothing is wrong with it. */
  again() {
    this.drop();
    this.timer = setTimeout(() => void this.connect(), 0);
  }
  ended(code, reason, wasOpen) {
    this.drop();
    if (!wasOpen) this.failures += 1;
    switch (remedy(code)) {
      case "reconnect":
      // `resync_required` was told before, and has been acted on.
      case "resync":
        return this.wait(code, reason);
      case "token":
        return void this.unauthorized(reason);
      case "give-up":
        return this.finish(new StreamError(code, reason));
    }
  }
  async unauthorized(reason) {
    const attempt = this.attempt;
    this.refusals += 1;
    let token;
    try {
      token = this.tokens.canAsk ? await this.tokens.ask("refused") : void 0;
    } catch (error) {
      return this.wait(4401, `no token: ${messageOf(error)}`);
    }
    if (this.attempt !== attempt || this.now.name === "closed") return;
    if (token === void 0) return this.finish(new StreamError(4401, reason));
    if (this.refusals > 1) this.wait(4401, reason);
    else void this.connect();
  }
  wait(code, reason) {
    const retryMs = this.backoff.next();
    this.set({ name: "waiting", code, reason, retryMs });
    this.timer = setTimeout(() => void this.connect(), retryMs);
  }
  /** Forgets the connection. */
  drop() {
    this.attempt = {};
    clearTimeout(this.timer);
    this.tokens.stop();
    this.link?.close();
    this.link = void 0;
    this.wishes.lost();
  }
  finish(error) {
    if (this.now.name === "closed") return;
    this.drop();
    this.wishes.end(error ?? new Error("the stream is closed"));
    this.set(error ? { name: "closed", error } : { name: "closed" });
    this.inbox.finish(error);
  }
};
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
function follow(server, options = {}) {
  return new Stream(server, options);
}
export {
  Backoff,
  EventStreamParser,
  Stream,
  StreamError,
  follow,
  isPosition,
  remedy
};
