/** How long to wait before a connection is tried again. */
export interface BackoffOptions {
    /** The first wait is at most this, in milliseconds. */
    firstMs?: number;
    /** No wait is longer than this. */
    mostMs?: number;
    /** A number in [0, 1); for tests. */
    random?: () => number;
}
/**
 * Doubles with each failure, and is spread over the whole range below: a server that comes back is not
 * met by all of its clients at once.
 */
export declare class Backoff {
    private failures;
    private readonly first;
    private readonly most;
    private readonly random;
    constructor(options?: BackoffOptions);
    /** Milliseconds until the next attempt. Never less than a tenth of the range. */
    next(): number;
    /** After a success. */
    reset(): void;
}
