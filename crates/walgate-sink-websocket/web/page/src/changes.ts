// The table of changes: a ring of events, of which the newest are shown.

import type { ChangeEvent, Row, Value } from "../../client/src/index.js";

/** Events that are kept for the search and for a pause. */
const KEPT = 2_000;

/** Rows of the table at once. */
const SHOWN = 100;

/** Rows whose last values are remembered, to say what an update has changed. */
const REMEMBERED = 5_000;

/** The table is written at most so often: faster nobody reads. */
const WRITE_EVERY_MS = 100;

/** The table takes at most this share of the time; where that is more, it is written more rarely. */
const WRITE_SHARE = 0.1;

/** So many at once are a flood, in which nothing is gained by showing which are new. */
const FLOOD = 12;

/** Characters of a value. */
const VALUE_CHARS = 60;

interface Entry {
  event: ChangeEvent;
  /** The old values of what has changed, as far as they are known. */
  old: Map<string, Value> | undefined;
  /** What the search looks through; made when it is needed. */
  text: string | undefined;
}

/** The elements that it fills. */
export interface ChangesPlace {
  body: HTMLTableSectionElement;
  empty: HTMLElement;
  count: HTMLElement;
  /** A row was opened. */
  open: (event: ChangeEvent) => void;
}

export class Changes {
  private ring: Entry[] = [];
  private waiting: Entry[] = [];
  private readonly last = new Map<string, Row>();
  private isPaused = false;
  private search = "";
  private ops = new Set<string>();
  private isStale = false;
  private fresh: Entry[] = [];
  private writtenAt = 0;
  private pauseMs = WRITE_EVERY_MS;
  private total = 0;

  constructor(private readonly place: ChangesPlace) {
    place.body.addEventListener("keydown", (event) => this.walk(event));
    place.body.addEventListener("click", (event) => {
      const row = (event.target as Element).closest("tr");
      if (row) this.open(row);
    });
  }

  take(event: ChangeEvent): void {
    if (event.op === "begin" || event.op === "commit") return;
    this.total += 1;
    const entry: Entry = { event, old: this.compare(event), text: undefined };
    if (this.isPaused) {
      this.waiting.push(entry);
      if (this.waiting.length > KEPT) this.waiting.splice(0, this.waiting.length - KEPT);
      return;
    }
    this.add(entry);
  }

  pause(isPaused: boolean): void {
    this.isPaused = isPaused;
    // From here on nothing moves: what has come until now is there.
    if (isPaused) this.write();
    if (!isPaused) {
      for (const entry of this.waiting) this.add(entry);
      this.waiting = [];
    }
    this.writtenAt = 0;
  }

  find(text: string): void {
    this.search = text.trim().toLowerCase();
    this.isStale = true;
  }

  /** Operations that are hidden. */
  hide(ops: Set<string>): void {
    this.ops = ops;
    this.isStale = true;
  }

  clear(): void {
    this.ring = [];
    this.waiting = [];
    this.fresh = [];
    this.total = 0;
    this.isStale = true;
  }

  /** Called for each frame. Whether something was written. */
  frame(now: number): boolean {
    if (now - this.writtenAt < this.pauseMs) return false;
    this.count();
    if (!this.isStale && this.fresh.length === 0) return false;
    this.writtenAt = now;
    this.write();
    return true;
  }

  private write(): void {
    const begun = performance.now();
    if (this.isStale) this.writeAll();
    else this.writeFresh();
    this.isStale = false;
    this.fresh = [];
    const took = performance.now() - begun;
    this.pauseMs = Math.max(WRITE_EVERY_MS, Math.min(1_000, took / WRITE_SHARE));
    const { body, empty } = this.place;
    const isEmpty = body.childElementCount === 0;
    empty.hidden = !isEmpty;
    empty.textContent = this.ring.length ? "Nothing that was shown matches." : "No change yet.";
  }

  private count(): void {
    const { count } = this.place;
    const waiting = this.waiting.length;
    const text = this.isPaused
      ? `${waiting === KEPT ? `${KEPT} or more` : waiting} more wait`
      : this.total > 0 ? `${this.total.toLocaleString("en")} since the page was opened` : "";
    if (count.textContent !== text) count.textContent = text;
  }

  private add(entry: Entry): void {
    this.ring.push(entry);
    if (this.ring.length > KEPT + KEPT / 4) this.ring.splice(0, this.ring.length - KEPT);
    this.fresh.push(entry);
    if (this.fresh.length > SHOWN) this.fresh.shift();
  }

  private matches(entry: Entry): boolean {
    if (this.ops.has(entry.event.op)) return false;
    if (this.search === "") return true;
    entry.text ??= JSON.stringify(entry.event).toLowerCase();
    return entry.text.includes(this.search);
  }

  private writeAll(): void {
    const rows: HTMLTableRowElement[] = [];
    for (let at = this.ring.length - 1; at >= 0 && rows.length < SHOWN; at -= 1) {
      const entry = this.ring[at];
      if (entry && this.matches(entry)) rows.push(this.row(entry, false));
    }
    this.place.body.replaceChildren(...rows);
    this.reachable();
  }

  private writeFresh(): void {
    const { body } = this.place;
    const isFlood = this.fresh.length > FLOOD;
    const matching = this.fresh.filter((entry) => this.matches(entry));
    const rows = matching.map((entry) => this.row(entry, !isFlood));
    rows.reverse();
    const hadFocus = document.activeElement;
    body.prepend(...rows);
    while (body.childElementCount > SHOWN) {
      const last = body.lastElementChild;
      if (!last) break;
      // Who reads with the keyboard keeps a place.
      if (last === hadFocus) body.querySelector<HTMLElement>("tr")?.focus();
      last.remove();
    }
    this.reachable();
  }

  /** One row is in the tab order: the focused one, else the newest. */
  private reachable(): void {
    const { body } = this.place;
    const focused = body.contains(document.activeElement) ? document.activeElement : null;
    const wanted = focused ?? body.firstElementChild;
    for (const row of body.querySelectorAll<HTMLElement>('tr[tabindex="0"]')) {
      if (row !== wanted) row.tabIndex = -1;
    }
    if (wanted instanceof HTMLElement) wanted.tabIndex = 0;
  }

  private walk(event: KeyboardEvent): void {
    const row = (event.target as Element).closest("tr");
    if (!row) return;
    if (event.key === "Enter" || event.key === " ") {
      this.open(row);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
      if (next instanceof HTMLElement) {
        row.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
    } else {
      return;
    }
    event.preventDefault();
  }

  private readonly entries = new WeakMap<Element, Entry>();

  private open(row: Element): void {
    const entry = this.entries.get(row);
    if (entry) this.place.open(entry.event);
  }

  private row(entry: Entry, isNew: boolean): HTMLTableRowElement {
    const { event } = entry;
    const row = document.createElement("tr");
    row.tabIndex = -1;
    row.dataset["op"] = event.op;
    if (event.id) row.dataset["id"] = event.id;
    if (isNew) row.className = "new";
    const op = document.createElement("span");
    op.className = "op";
    op.textContent = event.op;
    row.append(
      cell("time", event.time?.slice(11, 23) ?? ""),
      cell("what", op),
      cell("name", event.table ? `${event.schema}.${event.table}` : String(event["prefix"] ?? "")),
      cell("key", event.key ? Object.values(event.key).map(short).join(", ") : ""),
      cell("row", ...columns(entry)),
    );
    this.entries.set(row, entry);
    return row;
  }

  /** Old values of what this update has changed: from the log where it holds them, else as they were shown last. */
  private compare(event: ChangeEvent): Map<string, Value> | undefined {
    if (!event.key || !event.table) return undefined;
    const name = JSON.stringify([event.schema, event.table, event.key]);
    const known = this.last.get(name);
    this.last.delete(name);
    if (event.op === "delete" || event.op === "leave" || !event.after) return undefined;
    this.last.set(name, { ...known, ...event.after });
    if (this.last.size > REMEMBERED) {
      const oldest = this.last.keys().next().value;
      if (oldest !== undefined) this.last.delete(oldest);
    }
    if (event.op !== "update") return undefined;
    const old = { ...known, ...event.before };
    const changed = new Map<string, Value>();
    for (const [column, value] of Object.entries(event.after)) {
      const before = old[column];
      if (before !== undefined && JSON.stringify(before) !== JSON.stringify(value)) {
        changed.set(column, before);
      }
    }
    return changed;
  }
}

function cell(name: string, ...content: (string | Node)[]): HTMLTableCellElement {
  const cell = document.createElement("td");
  cell.className = name;
  cell.append(...content);
  return cell;
}

/** Columns of the row, changed ones first and with their old values. */
function columns(entry: Entry): Node[] {
  const { event, old } = entry;
  if (event.op === "message") return [document.createTextNode(short((event["content"] ?? "") as Value))];
  if (event.op === "gap") return [document.createTextNode(`missing: ${String(event["reason"] ?? "")}`)];
  const row = event.after ?? (event.op === "delete" ? event.before : undefined) ?? {};
  const names = Object.keys(row).filter((name) => !(event.key && name in event.key));
  if (old?.size) names.sort((a, b) => Number(old.has(b)) - Number(old.has(a)));
  return names.map((name) => {
    const part = document.createElement("span");
    part.className = "column";
    const label = document.createElement("span");
    label.className = "label";
    label.textContent = name;
    part.append(label);
    const before = old?.get(name);
    if (before !== undefined) {
      part.classList.add("changed");
      const gone = document.createElement("del");
      gone.textContent = short(before);
      const now = document.createElement("ins");
      now.textContent = short(row[name]);
      part.append(gone, " ", now);
    } else {
      const value = document.createElement("span");
      value.className = row[name] === null ? "value null" : "value";
      value.textContent = short(row[name]);
      part.append(value);
    }
    return part;
  });
}

function short(value: Value | undefined): string {
  const text = typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value);
  const line = text.replace(/\s+/g, " ");
  return line.length > VALUE_CHARS ? `${line.slice(0, VALUE_CHARS)}…` : line;
}
