import { type ChangeEvent, type Subscription } from "./protocol.js";
import { type State, type StreamOptions } from "./stream_options.js";
/** A stream of changes that outlives its connections. */
export declare class Stream implements AsyncIterable<ChangeEvent> {
    private readonly server;
    private readonly options;
    private link;
    private readonly backoff;
    private readonly tokens;
    private readonly wishes;
    private readonly inbox;
    private timer;
    private now;
    /** Everything up to here was handed on. */
    private reached;
    /** The last id of this connection. */
    private seen;
    private wantsSnapshot;
    /** A probe for the oldest position, whose answer is no loss. */
    private isProbing;
    private hasStood;
    private failures;
    private isReplayable;
    private refusals;
    /** The connection of the moment; another one has nothing to say any more. */
    private attempt;
    constructor(server: string | URL, options?: StreamOptions);
    /** What to resume from: everything up to here was handed on. Undefined before there is anything. */
    get position(): string | undefined;
    get state(): State;
    /** Adds a subscription at the stream's position. Settles when the server has answered. */
    subscribe(subscription: Subscription & {
        id: string;
    }): Promise<void>;
    /** Takes a subscription away. */
    unsubscribe(id: string): Promise<void>;
    /** Ends it. */
    close(): void;
    /** Makes a new connection now, behind the last event: after a wake-up, or when the network has changed. */
    reconnect(): void;
    [Symbol.asyncIterator](): AsyncIterator<ChangeEvent>;
    private get most();
    private set;
    private probe;
    private change;
    private sayWishes;
    private connect;
    private open;
    private makeLink;
    private hear;
    private event;
    private answer;
    private ready;
    private arrived;
    private watchToken;
    private resync;
    /** A new connection at once: the server has answered, and nothing is wrong with it. */
    private again;
    private ended;
    private unauthorized;
    private wait;
    /** Forgets the connection. */
    private drop;
    private finish;
}
/** Follows a server, such as `https://push.example.com`. */
export declare function follow(server: string | URL, options?: StreamOptions): Stream;
