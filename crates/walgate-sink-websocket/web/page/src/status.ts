// How the connections do, in words.

import type { State } from "../../client/src/index.js";

/** The elements that it fills. */
export interface StatusPlace {
  chip: HTMLElement;
  text: HTMLElement;
  notice: HTMLElement;
  announcer: HTMLElement;
}

/** A state that lasts shorter is not read out. */
const ANNOUNCE_AFTER_MS = 1_000;

const RANK: Record<State["name"], number> = {
  closed: 5,
  waiting: 4,
  connecting: 3,
  paused: 2,
  "catching-up": 1,
  live: 0,
};

export class Status {
  private readonly states = new Map<string, State>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private noticeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly place: StatusPlace) {}

  /** The state of one of the streams; the worst of them is shown. */
  set(stream: string, state: State): void {
    this.states.set(stream, state);
    const [first, ...others] = [...this.states.values()];
    if (!first) return;
    const worst = others.reduce((a, b) => (RANK[b.name] > RANK[a.name] ? b : a), first);
    const words = inWords(worst);
    this.place.chip.dataset["state"] = worst.name;
    this.place.chip.title = worst.name === "waiting" ? `${worst.code}: ${worst.reason}` : "";
    if (this.place.text.textContent === words) return;
    this.place.text.textContent = words;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.announce(words), ANNOUNCE_AFTER_MS);
  }

  forget(stream: string): void {
    this.states.delete(stream);
  }

  /** Something that a person should know; it stays until it is replaced, or for `ms`. */
  tell(text: string, ms?: number): void {
    const { notice } = this.place;
    notice.textContent = text;
    notice.hidden = false;
    this.announce(text);
    clearTimeout(this.noticeTimer);
    if (ms !== undefined) this.noticeTimer = setTimeout(() => (notice.hidden = true), ms);
  }

  private announce(text: string): void {
    this.place.announcer.textContent = text;
  }
}

function inWords(state: State): string {
  switch (state.name) {
    case "connecting":
      return "Connecting";
    case "catching-up":
      return "Catching up";
    case "live":
      return state.delivery === "live-only" ? "Live, without resume" : "Live";
    case "waiting":
      return state.code === 1001 ? "Server restarts" : "Reconnecting";
    case "paused":
      return "Paused";
    case "closed":
      return state.error ? `Ended: ${state.error.message}` : "Closed";
  }
}
