/** What has come and was not taken yet, for a loop that takes one after the other. */
export class Inbox<T> {
  private items: (T | undefined)[] = [];
  private first = 0;
  private waiting: { resolve: (item: IteratorResult<T>) => void; reject: (error: unknown) => void } | undefined;
  private end: { error?: unknown } | undefined;

  get length(): number {
    return this.items.length - this.first;
  }

  put(item: T): void {
    const waiting = this.waiting;
    if (waiting) {
      this.waiting = undefined;
      waiting.resolve({ value: item, done: false });
    } else {
      this.items.push(item);
    }
  }

  /** Nothing more comes; what is there can still be taken, then the error is thrown, if there is one. */
  finish(error?: unknown): void {
    if (this.end) return;
    this.end = error === undefined ? {} : { error };
    const waiting = this.waiting;
    this.waiting = undefined;
    if (waiting && error !== undefined) waiting.reject(error);
    else waiting?.resolve({ value: undefined, done: true });
  }

  async take(): Promise<IteratorResult<T>> {
    if (this.length > 0) {
      const value = this.items[this.first] as T;
      this.items[this.first] = undefined;
      this.first += 1;
      // Each is moved at most once for each that is taken.
      if (this.first * 2 > this.items.length) {
        this.items = this.items.slice(this.first);
        this.first = 0;
      }
      return { value, done: false };
    }
    if (this.end) {
      if ("error" in this.end) throw this.end.error;
      return { value: undefined, done: true };
    }
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
    });
  }
}
