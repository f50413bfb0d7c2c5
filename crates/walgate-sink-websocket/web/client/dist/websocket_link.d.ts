import { type Link, type Listener, type Start } from "./link.js";
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
/**
 * The token goes into the first message and not into the handshake: when the server refuses it, only a
 * WebSocket that stands can be told why.
 */
export declare function webSocketLink(Maker: SocketMaker, server: string | URL, start: Start, listener: Listener): Link;
