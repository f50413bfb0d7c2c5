import type { Exactness, Subscription } from "./protocol.js";

interface Change {
  id: string;
  /** None: it is to be taken away. */
  added: Subscription | undefined;
  /** It was said on the connection that stands. */
  isSaid: boolean;
  resolve: () => void;
  reject: (error: Error) => void;
}

/** What a stream is subscribed to, and what is to become of that. */
export class Wishes {
  private readonly wanted = new Map<string, Subscription>();
  private changes: Change[] = [];

  constructor(subscriptions: Subscription[]) {
    for (const [index, wanted] of subscriptions.entries()) {
      const id = wanted.id ?? String(index);
      if (this.wanted.has(id)) throw new Error(`two subscriptions are called ${JSON.stringify(id)}`);
      this.wanted.set(id, { ...wanted, id });
    }
  }

  /** What the next connection begins with: also what was asked for while there was none. */
  forStart(): Subscription[] {
    for (const change of this.changes) {
      change.isSaid = true;
      this.apply(change);
    }
    return [...this.wanted.values()];
  }

  get size(): number {
    return this.wanted.size;
  }

  change(id: string, added: Subscription | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.changes.push({ id, added, isSaid: false, resolve, reject });
    });
  }

  /** Says what was not said yet. */
  say(say: (message: object) => boolean): void {
    for (const change of this.changes) {
      if (change.isSaid) continue;
      const message = change.added
        ? { type: "subscribe", ...change.added }
        : { type: "unsubscribe", id: change.id };
      if (!say(message)) return;
      change.isSaid = true;
    }
  }

  /** Whether something waits for a connection. */
  get hasUnsaid(): boolean {
    return this.changes.some((change) => !change.isSaid);
  }

  /** The server has told what there is now. */
  confirmed(subscriptions: Exactness[]): void {
    const ids = new Set(subscriptions.map((own) => own.id));
    this.settle((change) => change.isSaid && ids.has(change.id) === (change.added !== undefined));
  }

  /** The server has refused one. Whether it was one of the changes. */
  refused(id: string | undefined, error: Error): boolean {
    const found = this.changes.find((change) => change.isSaid && change.id === id);
    if (!found) return false;
    this.changes = this.changes.filter((change) => change !== found);
    found.reject(error);
    return true;
  }

  /** The connection is gone, and with it what was said on it. */
  lost(): void {
    for (const change of this.changes) change.isSaid = false;
  }

  /** Nothing will come of what is still open. */
  end(error: Error): void {
    for (const change of this.changes) change.reject(error);
    this.changes = [];
  }

  private settle(isDone: (change: Change) => boolean): void {
    const done = this.changes.filter(isDone);
    this.changes = this.changes.filter((change) => !done.includes(change));
    for (const change of done) {
      this.apply(change);
      change.resolve();
    }
  }

  private apply(change: Change): void {
    if (change.added) this.wanted.set(change.id, { ...change.added, id: change.id });
    else this.wanted.delete(change.id);
  }
}
