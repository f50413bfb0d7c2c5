import { type Link, type Listener, type Start } from "./link.js";
/** As much of `fetch` as is used. */
export type Fetcher = (address: string, init: {
    headers: Record<string, string>;
    signal: AbortSignal;
    cache?: "no-store";
}) => Promise<Response>;
/**
 * Server-Sent Events by fetch and not by `EventSource`, which has no header for a token and hides the
 * status of a refusal.
 */
export declare function eventStreamLink(fetcher: Fetcher, server: string | URL, start: Start, listener: Listener): Link;
/** One block of an event stream. */
export interface Block {
    id?: string;
    event?: string;
    data?: string;
}
/** Reads an event stream, as the HTML standard says (9.2.6), from pieces that are cut anywhere. */
export declare class EventStreamParser {
    private rest;
    private block;
    private isEmpty;
    /** The blocks that this text completes. */
    push(text: string): Generator<Block>;
    private field;
}
