import { type Link, type Listener, type Start, addressOf } from "./link.js";

/** As much of `WebSocket` as is used. */
export interface Socket {
  readyState: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
}

/** Makes a `WebSocket`: the platform's, or that of a library. */
export type SocketMaker = new (address: string, protocols: string[]) => Socket;

const OPEN = 1;

/** How long the handshake may take before it counts as broken: some proxies neither pass nor refuse it. */
const HANDSHAKE_MS = 15_000;

/**
 * The token goes into the first message and not into the handshake: when the server refuses it, only a
 * WebSocket that stands can be told why.
 */
export function webSocketLink(
  Maker: SocketMaker,
  server: string | URL,
  start: Start,
  listener: Listener,
): Link {
  const socket = new Maker(addressOf(server, "/v1/stream", "ws").href, ["walgate.v1"]);
  let over = false;
  let told: { code: number; reason: string } | undefined;
  const end = (code: number, reason: string) => {
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
  socket.onmessage = ((event: { data: unknown }) => {
    if (over || typeof event.data !== "string") return;
    let message: { type?: unknown; code?: unknown; reason?: unknown };
    try {
      message = JSON.parse(event.data);
    } catch {
      end(1007, "the server has said what is no JSON");
      socket.close();
      return;
    }
    // The close frame comes next; its reason is shorter than this one.
    if (message.type === "closed" && typeof message.code === "number") {
      told = { code: message.code, reason: String(message.reason ?? "") };
    }
    listener.said(message, event.data.length);
  }) as Socket["onmessage"];
  socket.onerror = () => {};
  socket.onclose = ((event: { code?: number; reason?: string }) => {
    end(told?.code ?? event.code ?? 1006, told?.reason ?? event.reason ?? "");
  }) as Socket["onclose"];
  return {
    say(message) {
      if (over || socket.readyState !== OPEN) return false;
      socket.send(JSON.stringify(message));
      return true;
    },
    close() {
      over = true;
      clearTimeout(patience);
      socket.close(1000);
    },
  };
}

function firstMessage(start: Start): object {
  const { token, after, snapshot, subscriptions } = start;
  return {
    type: "start",
    ...(token === undefined ? {} : { token }),
    ...(after === undefined ? {} : { after }),
    ...(snapshot ? { snapshot: true } : {}),
    subscriptions,
  };
}
