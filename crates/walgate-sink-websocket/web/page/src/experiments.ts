// The list of experiments: a group of radio buttons, so that the keyboard works as everywhere.

import type { Experiment, Maze } from "./maze.js";

/** Rates change all the time; so often they are written. */
const WRITE_EVERY_MS = 500;

const MOST_LISTED = 24;

export class ExperimentList {
  private listed = -1;
  private writtenAt = 0;
  private readonly rows = new Map<string, { input: HTMLInputElement; note: HTMLElement; label: HTMLElement }>();

  constructor(
    private readonly place: HTMLElement,
    private readonly maze: Maze,
    private readonly choose: (id: number | undefined) => void,
  ) {
    place.addEventListener("change", (event) => {
      const { value } = event.target as HTMLInputElement;
      this.choose(value === "all" ? undefined : Number(value));
    });
  }

  frame(now: number, chosen: number | undefined): void {
    const isNew = this.maze.listVersion !== this.listed;
    if (!isNew && now - this.writtenAt < WRITE_EVERY_MS) return;
    this.writtenAt = now;
    this.listed = this.maze.listVersion;
    const shown = this.maze.sorted().slice(0, MOST_LISTED);
    const running = shown.filter((one) => one.state === "running").length;
    const wanted = ["all", ...shown.map((one) => String(one.id))];
    for (const [id, row] of this.rows) {
      if (wanted.includes(id)) continue;
      row.label.remove();
      this.rows.delete(id);
    }
    for (const [index, id] of wanted.entries()) {
      const row = this.rows.get(id) ?? this.make(id);
      if (this.place.children[index] !== row.label) {
        this.place.insertBefore(row.label, this.place.children[index] ?? null);
      }
      row.input.checked = id === String(chosen ?? "all");
      const one = shown[index - 1];
      if (one) this.write(row, one, now, chosen !== undefined && one.id !== chosen);
      else row.note.textContent = running === 1 ? "1 runs" : `${running} run`;
    }
  }

  /** The id at this place of the list; the first is that of all. */
  at(index: number): number | undefined {
    return index === 0 ? undefined : this.maze.sorted()[index - 1]?.id;
  }

  private write(row: { note: HTMLElement; label: HTMLElement }, one: Experiment, now: number, isUnwatched: boolean): void {
    const { label, note } = row;
    const name = label.querySelector(".name");
    if (name && name.textContent !== one.name) name.textContent = one.name;
    const rate = this.maze.rate(one, now);
    const pace = isUnwatched ? "runs" : `${rate.toFixed(rate < 10 ? 1 : 0)} steps/s`;
    const end = one.winner === undefined ? "finished" : `agent ${one.winner} won`;
    const text = one.state === "running" ? pace : end;
    if (note.textContent !== text) note.textContent = text;
    label.dataset["state"] = one.state;
    // What was shown, for whoever compares it with the table.
    label.dataset["steps"] = String(one.steps);
  }

  private make(id: string): { input: HTMLInputElement; note: HTMLElement; label: HTMLElement } {
    const label = document.createElement("label");
    label.className = "experiment";
    label.dataset["id"] = id;
    const input = document.createElement("input");
    input.type = "radio";
    input.name = "experiment";
    input.value = id;
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = id === "all" ? "All experiments" : `experiment ${id}`;
    const note = document.createElement("span");
    note.className = "note";
    label.append(input, name, note);
    const row = { input, note, label };
    this.rows.set(id, row);
    return row;
  }
}
