// One connection, whatever carries it.

import type { Subscription } from "./protocol.js";

/** How a connection begins. */
export interface Start {
  subscriptions: Subscription[];
  token: string | undefined;
  after: string | undefined;
  snapshot: boolean;
}

/** What a connection tells. */
export interface Listener {
  /** The carrier stands; nothing was said yet. */
  opened(): void;
  /** Something that was said, parsed. `size` is its length as text. */
  said(message: unknown, size: number): void;
  /** It has ended; nothing more is called. 1006 when it just broke. `refused` is the HTTP status, where that is known. */
  ended(code: number, reason: string, refused?: number): void;
}

/** A connection that stands or is being made. */
export interface Link {
  /** Says something; false where this carrier has no way back. */
  say(message: object): boolean;
  /** Ends it; `ended` is not called any more. */
  close(): void;
}

/** An address of HTTP for an address of the server, with `path` appended. */
export function addressOf(server: string | URL, path: string, scheme: "http" | "ws"): URL {
  const base = new URL(String(server));
  const isSafe = base.protocol === "https:" || base.protocol === "wss:";
  base.protocol = isSafe ? `${scheme}s:` : `${scheme}:`;
  base.pathname = base.pathname.replace(/\/+$/, "") + path;
  base.search = "";
  base.hash = "";
  return base;
}
