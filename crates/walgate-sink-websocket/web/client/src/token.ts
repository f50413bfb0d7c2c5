/** Why a token is asked for: for the first time, because the server refuses the last one, or because it expires soon. */
export type TokenReason = "start" | "refused" | "expires";

/** A token, or what gives one. Nothing means: go without, or, after a refusal, give up. */
export type TokenSource =
  | string
  | ((reason: TokenReason) => string | undefined | Promise<string | undefined>);

/** A new one is asked for when a tenth of the old one's time is left, */
const MARGIN_SHARE = 0.1;

/** but never later than this before its end, in milliseconds, nor earlier than that, */
const MARGIN_LEAST_MS = 5_000;
const MARGIN_MOST_MS = 300_000;

/** nor in the first half of its time. */
const LATEST_SHARE = 0.5;

/** So much earlier at most: tokens of many clients end together, and are not asked for together. */
const SPREAD = 0.5;

/** Between two times that a source is asked which has no new one yet. */
const AGAIN_LEAST_MS = 1_000;

/** What a timer can wait at most; a longer wait is taken in pieces. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Keeps the token of a stream, and knows when to ask for the next one. */
export class TokenKeeper {
  private token: string | undefined;
  private isAsked = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** The end that is watched for at the moment. */
  private watched: object = {};

  constructor(
    private readonly source: TokenSource | undefined,
    private readonly random: () => number = Math.random,
  ) {}

  /** Whether another token can be had than the one that was refused. */
  get canAsk(): boolean {
    return typeof this.source === "function";
  }

  /** The token for the next connection. */
  async current(): Promise<string | undefined> {
    if (this.isAsked) return this.token;
    return this.ask("start");
  }

  /** Asks for another one. */
  async ask(reason: TokenReason): Promise<string | undefined> {
    const source = this.source;
    this.token = typeof source === "function" ? await source(reason) : source;
    this.isAsked = true;
    return this.token;
  }

  /**
   * Asks for another one before `expires`, and gives it to `renew`. A source that fails or still gives the old one is
   * asked again while that is good; one that gives none is asked when the server refuses the old one.
   */
  watch(expires: string | undefined, renew: (token: string) => void): void {
    this.stop();
    const end = expires === undefined ? Number.NaN : Date.parse(expires);
    if (Number.isNaN(end) || !this.canAsk) return;
    const left = end - Date.now();
    const margin = Math.min(Math.max(left * MARGIN_SHARE, MARGIN_LEAST_MS), MARGIN_MOST_MS);
    const early = margin * (1 + SPREAD * this.random());
    this.at(end - Math.min(early, left * LATEST_SHARE), end, renew);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.watched = {};
  }

  private at(time: number, end: number, renew: (token: string) => void): void {
    const wait = Math.max(0, time - Date.now());
    this.timer = setTimeout(
      wait > LONGEST_TIMER_MS ? () => this.at(time, end, renew) : () => void this.next(end, renew),
      Math.min(wait, LONGEST_TIMER_MS),
    );
  }

  private async next(end: number, renew: (token: string) => void): Promise<void> {
    const { watched, token: old, source } = this;
    if (typeof source !== "function") return;
    let token: string | undefined = old;
    try {
      token = await source("expires");
    } catch {
      // It is asked again: nothing is lost yet.
    }
    if (token === undefined) return;
    const isNew = token !== old;
    // The next connection begins with it, whatever becomes of this one.
    if (isNew && this.token === old) this.token = token;
    if (this.watched !== watched) return;
    if (isNew) return renew(token);
    const again = Date.now() + Math.max(AGAIN_LEAST_MS, (end - Date.now()) * LATEST_SHARE);
    if (again < end) this.at(again, end, renew);
  }
}
