/** What has come and was not taken yet, for a loop that takes one after the other. */
export declare class Inbox<T> {
    private items;
    private first;
    private waiting;
    private end;
    get length(): number;
    put(item: T): void;
    /** Nothing more comes; what is there can still be taken, then the error is thrown, if there is one. */
    finish(error?: unknown): void;
    take(): Promise<IteratorResult<T>>;
}
