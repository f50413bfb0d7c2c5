import type { Exactness, Subscription } from "./protocol.js";
/** What a stream is subscribed to, and what is to become of that. */
export declare class Wishes {
    private readonly wanted;
    private changes;
    constructor(subscriptions: Subscription[]);
    /** What the next connection begins with: also what was asked for while there was none. */
    forStart(): Subscription[];
    get size(): number;
    change(id: string, added: Subscription | undefined): Promise<void>;
    /** Says what was not said yet. */
    say(say: (message: object) => boolean): void;
    /** Whether something waits for a connection. */
    get hasUnsaid(): boolean;
    /** The server has told what there is now. */
    confirmed(subscriptions: Exactness[]): void;
    /** The server has refused one. Whether it was one of the changes. */
    refused(id: string | undefined, error: Error): boolean;
    /** The connection is gone, and with it what was said on it. */
    lost(): void;
    /** Nothing will come of what is still open. */
    end(error: Error): void;
    private settle;
    private apply;
}
