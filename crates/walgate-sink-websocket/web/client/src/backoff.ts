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
export class Backoff {
  private failures = 0;
  private readonly first: number;
  private readonly most: number;
  private readonly random: () => number;

  constructor(options: BackoffOptions = {}) {
    this.first = options.firstMs ?? 500;
    this.most = options.mostMs ?? 30_000;
    this.random = options.random ?? Math.random;
  }

  /** Milliseconds until the next attempt. Never less than a tenth of the range. */
  next(): number {
    // 2^20 times the first is beyond every cap, and no overflow.
    const range = Math.min(this.most, this.first * 2 ** Math.min(this.failures, 20));
    this.failures += 1;
    return Math.round(range * (0.1 + 0.9 * this.random()));
  }

  /** After a success. */
  reset(): void {
    this.failures = 0;
  }
}
