// How long a change is on its way to the screen, and how many there are.

const SAMPLES = 200;

const RATE_MS = 5_000;

export class Vitals {
  private samples: number[] = [];
  /** Changes of each half second, newest last. */
  private buckets: { at: number; changes: number }[] = [];
  private pending: number[] = [];

  /** A change has come. `committed` only when it was committed just now, and not one that is replayed. */
  note(now: number, committed: string | undefined): void {
    const at = Math.floor(now / 500) * 500;
    const last = this.buckets.at(-1);
    if (last?.at === at) last.changes += 1;
    else this.buckets.push({ at, changes: 1 });
    const time = committed === undefined ? Number.NaN : Date.parse(committed);
    if (!Number.isNaN(time) && this.pending.length < 1_000) this.pending.push(time);
  }

  /** What has come until now is on the screen. */
  shown(): void {
    const now = Date.now();
    for (const committed of this.pending) this.samples.push(now - committed);
    this.pending = [];
    this.samples.splice(0, Math.max(0, this.samples.length - SAMPLES));
  }

  rate(now: number): number {
    this.buckets = this.buckets.filter((bucket) => bucket.at > now - RATE_MS);
    return this.buckets.reduce((sum, bucket) => sum + bucket.changes, 0) / (RATE_MS / 1000);
  }

  /** The median and the 95th percentile, in milliseconds. */
  latency(): { median: number; slow: number } | undefined {
    if (this.samples.length === 0) return undefined;
    const sorted = [...this.samples].sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
    return { median: at(0.5), slow: at(0.95) };
  }

  /** The latency in words. A server whose clock is ahead makes it negative. */
  words(): string {
    const latency = this.latency();
    if (!latency) return "–";
    if (latency.median < -20) return "clocks differ";
    const ms = (value: number) => {
      if (value >= 10_000) return `${Math.round(value / 1000)} s`;
      return `${Math.max(1, Math.round(value))} ms`;
    };
    return `${ms(latency.median)} (${ms(latency.slow)})`;
  }
}
