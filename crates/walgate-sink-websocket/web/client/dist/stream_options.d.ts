import type { BackoffOptions } from "./backoff.js";
import type { Fetcher } from "./event_stream_link.js";
import type { ChangeEvent, Ready, ResyncRequired, Subscription } from "./protocol.js";
import type { TokenSource } from "./token.js";
import type { SocketMaker } from "./websocket_link.js";
/** What a stream does at a moment. */
export type State = 
/** A connection is being made. */
{
    name: "connecting";
}
/** The initial copy, or what was missed, is coming. */
 | {
    name: "catching-up";
} | {
    name: "live";
    delivery: "resumable" | "live-only";
}
/** The connection has ended, and the next one comes by itself. */
 | {
    name: "waiting";
    code: number;
    reason: string;
    retryMs: number;
}
/** The reader is behind: no connection until it has caught up, and then nothing is missing. */
 | {
    name: "paused";
} | {
    name: "closed";
    error?: StreamError;
};
/** Why a stream has ended by itself. */
export declare class StreamError extends Error {
    /** The close code of PROTOCOL.md; 4401: no valid token, 4410: take a new copy. */
    readonly code: number;
    /** With 4410: the oldest position that can be resumed from. */
    readonly oldest?: string | undefined;
    constructor(
    /** The close code of PROTOCOL.md; 4401: no valid token, 4410: take a new copy. */
    code: number, message: string, 
    /** With 4410: the oldest position that can be resumed from. */
    oldest?: string | undefined);
}
/** What to do when what was missed can't be had any more. */
export type ResyncChoice = "stop" | "live" | "oldest" | "snapshot";
/** How a stream is to be. */
export interface StreamOptions {
    /** What is wanted; everything when it is left out. */
    subscriptions?: Subscription[];
    /** Resume behind this event id or LSN. */
    after?: string;
    /** `oldest`: everything that the server still holds, first. */
    from?: "live" | "oldest";
    /** The rows that match now, as `read` events, first. */
    snapshot?: boolean;
    token?: TokenSource;
    /** `auto`: WebSocket, and Server-Sent Events where no WebSocket passes. */
    transport?: "auto" | "websocket" | "events";
    backoff?: BackoffOptions;
    /** Events that may wait for a loop that reads slowly. */
    maxWaiting?: number;
    /** Called for each event, in order. Without it iterate over the stream. */
    onEvent?: (event: ChangeEvent) => void;
    onReady?: (ready: Ready) => void;
    onState?: (state: State) => void;
    /** An initial copy begins (throw away what you have of an earlier one) or is complete. */
    onSnapshot?: (phase: "begin" | "end", rows: number) => void;
    /** Changes were missed and can't be had. Without it the stream ends with a `StreamError` of code 4410. */
    onResync?: (answer: ResyncRequired) => ResyncChoice;
    /** The server has refused something, and the connection goes on. */
    onRefused?: (code: string, message: string, subscription?: string) => void;
    WebSocket?: SocketMaker;
    fetch?: Fetcher;
}
