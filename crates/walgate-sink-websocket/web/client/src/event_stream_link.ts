import { type Link, type Listener, type Start, addressOf } from "./link.js";
import type { Subscription } from "./protocol.js";

/** As much of `fetch` as is used. */
export type Fetcher = (
  address: string,
  init: { headers: Record<string, string>; signal: AbortSignal; cache?: "no-store" },
) => Promise<Response>;

/**
 * Server-Sent Events by fetch and not by `EventSource`, which has no header for a token and hides the
 * status of a refusal.
 */
export function eventStreamLink(
  fetcher: Fetcher,
  server: string | URL,
  start: Start,
  listener: Listener,
): Link {
  const abort = new AbortController();
  let over = false;
  const end = (code: number, reason: string, refused?: number) => {
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
    },
  };
}

async function read(
  fetcher: Fetcher,
  server: string | URL,
  start: Start,
  listener: Listener,
  signal: AbortSignal,
  end: (code: number, reason: string, refused?: number) => void,
  isOver: () => boolean,
): Promise<void> {
  const address = addressOf(server, "/v1/events", "http");
  address.search = query(start).toString();
  const headers: Record<string, string> = { accept: "text/event-stream" };
  if (start.token !== undefined) headers["authorization"] = `Bearer ${start.token}`;
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
    for (;;) {
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

/** The close code that a refusal by HTTP stands for. */
function codeOf(status: number): number {
  if (status === 401) return 4401;
  return status === 400 || status === 403 || status === 404 ? 4400 : 1006;
}

function tell(block: Block, listener: Listener): { code: number; reason: string } | undefined {
  if (block.data === undefined) {
    // A block with nothing but an id: everything up to here was sent.
    if (block.id) listener.said({ type: "position", position: block.id }, block.id.length);
    return undefined;
  }
  const message = JSON.parse(block.data) as { type?: string; code?: number; reason?: string };
  listener.said(message, block.data.length);
  if (message.type === "closed") {
    return { code: message.code ?? 1006, reason: message.reason ?? "" };
  }
  // It ends the stream by itself.
  if (message.type === "resync_required") return { code: 4410, reason: message.reason ?? "" };
  return undefined;
}

function query(start: Start): URLSearchParams {
  const parameters = new URLSearchParams();
  const wanted: Subscription = start.subscriptions[0] ?? {};
  for (const table of wanted.tables ?? []) parameters.append("table", table);
  if (wanted.ops?.length) parameters.set("op", wanted.ops.join(","));
  if (wanted.where !== undefined) parameters.set("where", wanted.where);
  for (const column of wanted.columns ?? []) parameters.append("column", column);
  if (wanted.transactions) parameters.set("transactions", "true");
  if (wanted.strict) parameters.set("strict", "true");
  if (start.snapshot) parameters.set("snapshot", "true");
  if (start.after !== undefined) parameters.set("after", start.after);
  return parameters;
}

/** One block of an event stream. */
export interface Block {
  id?: string;
  event?: string;
  data?: string;
}

/** Reads an event stream, as the HTML standard says (9.2.6), from pieces that are cut anywhere. */
export class EventStreamParser {
  private rest = "";
  private block: Block = {};
  private isEmpty = true;

  /** The blocks that this text completes. */
  *push(text: string): Generator<Block> {
    this.rest += text;
    for (;;) {
      const found = /\r\n|\n|\r/.exec(this.rest);
      // A carriage return at the very end may be half of a line's end.
      if (!found || (found[0] === "\r" && found.index === this.rest.length - 1)) return;
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

  private field(line: string): void {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") {
      this.block.data = this.block.data === undefined ? value : `${this.block.data}\n${value}`;
    } else if (name === "id" || name === "event") {
      this.block[name] = value;
    } else {
      return;
    }
    this.isEmpty = false;
  }
}
