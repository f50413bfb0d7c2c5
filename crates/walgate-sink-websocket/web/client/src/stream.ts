import { Backoff } from "./backoff.js";
import { type Fetcher, eventStreamLink } from "./event_stream_link.js";
import { Inbox } from "./inbox.js";
import type { Link, Listener, Start } from "./link.js";
import {
  type Answer,
  type ChangeEvent,
  type Ready,
  type ResyncRequired,
  type Subscription,
  isPosition,
  remedy,
} from "./protocol.js";
import { type State, StreamError, type StreamOptions } from "./stream_options.js";
import { TokenKeeper } from "./token.js";
import { type SocketMaker, webSocketLink } from "./websocket_link.js";
import { Wishes } from "./wishes.js";

/** Below every position: the server answers with the oldest that it has. */
const BEGINNING = "0000000000000000-00000000";

/** After so many WebSockets that never stood, event streams are tried too. */
const DOUBT_AFTER = 2;

const MAX_WAITING = 100_000;

/** A stream of changes that outlives its connections. */
export class Stream implements AsyncIterable<ChangeEvent> {
  private link: Link | undefined;
  private readonly backoff: Backoff;
  private readonly tokens: TokenKeeper;
  private readonly wishes: Wishes;
  private readonly inbox = new Inbox<ChangeEvent>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private now: State = { name: "connecting" };
  /** Everything up to here was handed on. */
  private reached: string | undefined;
  /** The last id of this connection. */
  private seen = "";
  private wantsSnapshot: boolean;
  /** A probe for the oldest position, whose answer is no loss. */
  private isProbing = false;
  private hasStood = false;
  private failures = 0;
  private isReplayable = true;
  private refusals = 0;
  /** The connection of the moment; another one has nothing to say any more. */
  private attempt: object = {};

  constructor(
    private readonly server: string | URL,
    private readonly options: StreamOptions = {},
  ) {
    this.backoff = new Backoff(options.backoff);
    this.tokens = new TokenKeeper(options.token, options.backoff?.random);
    this.wishes = new Wishes(options.subscriptions ?? [{}]);
    this.wantsSnapshot = options.snapshot === true;
    this.reached = options.after;
    if (options.from === "oldest" && !this.wantsSnapshot && this.reached === undefined) this.probe();
    // Whoever has made the stream sees its first state, too.
    queueMicrotask(() => void this.connect());
  }

  /** What to resume from: everything up to here was handed on. Undefined before there is anything. */
  get position(): string | undefined {
    return this.isProbing ? undefined : this.reached;
  }

  get state(): State {
    return this.now;
  }

  /** Adds a subscription at the stream's position. Settles when the server has answered. */
  subscribe(subscription: Subscription & { id: string }): Promise<void> {
    return this.change(subscription.id, subscription);
  }

  /** Takes a subscription away. */
  unsubscribe(id: string): Promise<void> {
    return this.change(id, undefined);
  }

  /** Ends it. */
  close(): void {
    this.finish(undefined);
  }

  /** Makes a new connection now, behind the last event: after a wake-up, or when the network has changed. */
  reconnect(): void {
    if (this.now.name === "closed" || this.now.name === "paused") return;
    this.drop();
    void this.connect();
  }

  [Symbol.asyncIterator](): AsyncIterator<ChangeEvent> {
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
        return { value: undefined, done: true };
      },
    };
  }

  private get most(): number {
    return this.options.maxWaiting ?? MAX_WAITING;
  }

  private set(state: State): void {
    this.now = state;
    this.options.onState?.(state);
  }

  private probe(): void {
    this.reached = BEGINNING;
    this.isProbing = true;
  }

  private change(id: string, added: Subscription | undefined): Promise<void> {
    if (this.now.name === "closed") return Promise.reject(new Error("the stream is closed"));
    const settled = this.wishes.change(id, added);
    if (this.now.name === "live") {
      // An event stream has no way back: it begins anew, from where it is.
      this.sayWishes();
      if (this.wishes.hasUnsaid) this.reconnect();
    }
    return settled;
  }

  private sayWishes(): void {
    this.wishes.say((message) => this.link?.say(message) ?? false);
  }

  private async connect(): Promise<void> {
    if (this.now.name === "closed") return;
    this.set({ name: "connecting" });
    const attempt = {};
    this.attempt = attempt;
    let token: string | undefined;
    try {
      token = await this.tokens.current();
    } catch (error) {
      if (this.attempt === attempt) this.wait(1006, `no token: ${messageOf(error)}`);
      return;
    }
    if (this.attempt !== attempt || (this.now as State).name === "closed") return;
    this.open(attempt, token);
  }

  private open(attempt: object, token: string | undefined): void {
    const start: Start = {
      subscriptions: this.wishes.forStart(),
      token,
      after: this.wantsSnapshot ? undefined : this.reached,
      snapshot: this.wantsSnapshot,
    };
    this.seen = start.after !== undefined && isPosition(start.after) ? start.after : "";
    const isCurrent = () => this.attempt === attempt;
    let isOpen = false;
    const listener: Listener = {
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
      },
    };
    try {
      this.link = this.makeLink(start, listener);
    } catch (error) {
      this.finish(new StreamError(4400, messageOf(error)));
    }
  }

  private makeLink(start: Start, listener: Listener): Link {
    const { transport = "auto" } = this.options;
    const Maker = this.options.WebSocket ?? (globalThis as { WebSocket?: SocketMaker }).WebSocket;
    const fetcher: Fetcher = this.options.fetch ?? ((address, init) => fetch(address, init));
    const isOne = this.wishes.size <= 1;
    const doubts = !this.hasStood && this.failures >= DOUBT_AFTER && this.failures % 2 === 0;
    const byEvents =
      transport === "events" || (transport === "auto" && (!Maker || (doubts && isOne)));
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

  private hear(message: unknown): void {
    if (typeof message !== "object" || message === null) return;
    if ("op" in message) this.event(message as ChangeEvent);
    else this.answer(message as Answer);
  }

  private event(event: ChangeEvent): void {
    // A row of the initial copy is no place in the log.
    if (event.op !== "read" && event.id !== undefined) {
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

  private answer(answer: Answer): void {
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
        // What is refused before there is anything was the start, and would be refused again.
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

  private ready(ready: Ready): void {
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

  private arrived(position: string): void {
    if (this.wantsSnapshot || !isPosition(position)) return;
    if (this.reached === undefined || !isPosition(this.reached) || position > this.reached) {
      this.reached = position;
    }
    if (position > this.seen) this.seen = position;
  }

  private watchToken(expires: string | undefined): void {
    this.tokens.watch(expires, (token) => {
      if (this.now.name !== "live") return;
      // An event stream has no way back: it begins anew with the token, from where it is.
      if (this.link?.say({ type: "token", token }) === false) this.reconnect();
    });
  }

  private resync(answer: ResyncRequired): void {
    const { oldest } = answer;
    if (this.isProbing) {
      // That was the question. A server that replays nothing gives an answer that can't be used.
      this.isProbing = false;
      const isNew = isPosition(oldest) && oldest !== this.reached;
      this.reached = isNew && !/live-only/.test(answer.reason) ? oldest : undefined;
      return this.again();
    }
    const choice = this.options.onResync?.(answer) ?? "stop";
    if (choice === "stop") return this.finish(new StreamError(4410, answer.reason, oldest));
    this.reached = undefined;
    this.wantsSnapshot = choice === "snapshot";
    if (choice === "oldest") {
      this.reached = isPosition(oldest) ? oldest : undefined;
    }
    this.again();
  }

  /** A new connection at once: the server has answered, and nothing is wrong with it. */
  private again(): void {
    this.drop();
    // Not within the old connection's call.
    this.timer = setTimeout(() => void this.connect(), 0);
  }

  private ended(code: number, reason: string, wasOpen: boolean): void {
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

  private async unauthorized(reason: string): Promise<void> {
    const attempt = this.attempt;
    this.refusals += 1;
    let token: string | undefined;
    try {
      token = this.tokens.canAsk ? await this.tokens.ask("refused") : undefined;
    } catch (error) {
      return this.wait(4401, `no token: ${messageOf(error)}`);
    }
    if (this.attempt !== attempt || this.now.name === "closed") return;
    if (token === undefined) return this.finish(new StreamError(4401, reason));
    // A source that gives wrong ones is asked more and more rarely.
    if (this.refusals > 1) this.wait(4401, reason);
    else void this.connect();
  }

  private wait(code: number, reason: string): void {
    const retryMs = this.backoff.next();
    this.set({ name: "waiting", code, reason, retryMs });
    this.timer = setTimeout(() => void this.connect(), retryMs);
  }

  /** Forgets the connection. */
  private drop(): void {
    this.attempt = {};
    clearTimeout(this.timer);
    this.tokens.stop();
    this.link?.close();
    this.link = undefined;
    this.wishes.lost();
  }

  private finish(error: StreamError | undefined): void {
    if (this.now.name === "closed") return;
    this.drop();
    this.wishes.end(error ?? new Error("the stream is closed"));
    this.set(error ? { name: "closed", error } : { name: "closed" });
    this.inbox.finish(error);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Follows a server, such as `https://push.example.com`. */
export function follow(server: string | URL, options: StreamOptions = {}): Stream {
  return new Stream(server, options);
}
