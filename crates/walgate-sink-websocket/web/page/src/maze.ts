// What is known of the maze's experiments, from the rows of sql/maze.sql. No drawing here.

import type { ChangeEvent, Row } from "../../client/src/index.js";

/** Where an agent is, and where it came from. */
export interface Agent {
  number: number;
  x: number;
  y: number;
  fromX: number;
  fromY: number;
  /** 0 north, 1 east, 2 south, 3 west. */
  heading: number;
  /** The last step was into a wall. */
  bumped: boolean;
  /** When the step was shown, in the clock of `performance.now()`. */
  movedAt: number;
  /** The number of its last step. */
  step: number;
}

export interface Experiment {
  id: number;
  name: string;
  width: number;
  height: number;
  /** As `maze.build_walls` makes them; undefined when the row of the experiment was never seen. */
  walls: string[] | undefined;
  state: "running" | "finished";
  winner: number | undefined;
  agents: Map<number, Agent>;
  /** How often each cell was entered, and by whom last: `y * width + x`. */
  visits: Map<number, { times: number; agent: number }>;
  /** Rows of agent_actions that were shown; the `start` of each agent is one. */
  steps: number;
  /** Moments of the last steps, for the rate. */
  recent: number[];
}

/** More would be neither read nor drawn; the oldest finished ones go first. */
const MOST_EXPERIMENTS = 64;

/** A rate is over so many milliseconds. */
const RATE_MS = 4_000;

/** The largest maze that sql/maze.sql allows. */
const MOST_CELLS = 60;

/** The experiments, as far as rows have told of them. */
export class Maze {
  readonly experiments = new Map<number, Experiment>();
  /** Counts up with each change that is to be drawn. */
  version = 0;
  /** Counts up when the list has other experiments or states. */
  listVersion = 0;

  /** Takes an event, which happens now if `isLive`; whether it was one of the maze's. */
  take(event: ChangeEvent, now: number, isLive: boolean): boolean {
    if (event.schema !== "maze") return false;
    if (event.table === "experiments") this.takeExperiment(event);
    else if (event.table === "agent_actions") this.takeAction(event, now, isLive);
    else return false;
    this.version += 1;
    return true;
  }

  /** Steps a second. */
  rate(experiment: Experiment, now: number): number {
    const { recent } = experiment;
    let old = 0;
    while (old < recent.length && (recent[old] ?? 0) < now - RATE_MS) old += 1;
    if (old > 0) recent.splice(0, old);
    return recent.length / (RATE_MS / 1000);
  }

  /** Newest first, those that run before those that have ended. */
  sorted(): Experiment[] {
    const all = [...this.experiments.values()];
    const rank = (one: Experiment) => (one.state === "running" ? 0 : 1);
    return all.sort((a, b) => rank(a) - rank(b) || b.id - a.id);
  }

  clear(): void {
    this.experiments.clear();
    this.version += 1;
    this.listVersion += 1;
  }

  private takeExperiment(event: ChangeEvent): void {
    const id = number(event.after?.["id"] ?? event.key?.["id"]);
    if (event.op === "truncate") return this.clear();
    if (id === undefined) return;
    if (event.op === "delete" || event.op === "leave") {
      if (this.experiments.delete(id)) this.listVersion += 1;
      return;
    }
    const row = event.after ?? {};
    const experiment = this.get(id, size(row["width"]), size(row["height"]));
    if (typeof row["name"] === "string") experiment.name = row["name"];
    if (typeof row["walls"] === "string") {
      experiment.walls = row["walls"].split("\n");
      experiment.width = size(row["width"]) ?? experiment.width;
      experiment.height = size(row["height"]) ?? experiment.height;
    }
    experiment.state = row["state"] === "finished" ? "finished" : "running";
    experiment.winner = number(row["winner"]);
    this.listVersion += 1;
  }

  private takeAction(event: ChangeEvent, now: number, isLive: boolean): void {
    if (event.op !== "insert" && event.op !== "read") return;
    const row: Row = event.after ?? {};
    const [id, agent] = [number(row["experiment_id"]), number(row["agent"])];
    const [x, y] = [number(row["to_x"]), number(row["to_y"])];
    if (id === undefined || agent === undefined || x === undefined || y === undefined) return;
    if (x < 0 || y < 0 || x >= MOST_CELLS || y >= MOST_CELLS) return;
    const experiment = this.get(id, undefined, undefined);
    // Without the experiment's row only what was walked tells how large it is.
    if (!experiment.walls) {
      experiment.width = Math.max(experiment.width, x + 1);
      experiment.height = Math.max(experiment.height, y + 1);
    }
    const step = number(row["step_number"]) ?? 0;
    experiment.steps += 1;
    if (isLive) experiment.recent.push(now);
    const cell = y * MOST_CELLS + x;
    const times = experiment.visits.get(cell)?.times ?? 0;
    experiment.visits.set(cell, { times: times + 1, agent });
    const known = experiment.agents.get(agent);
    // An initial copy has no order.
    if (known && known.step >= step) return;
    experiment.agents.set(agent, {
      number: agent,
      x,
      y,
      fromX: number(row["from_x"]) ?? x,
      fromY: number(row["from_y"]) ?? y,
      heading: (number(row["heading"]) ?? 0) & 3,
      bumped: row["success"] === false,
      // What is told afterwards is not walked again.
      movedAt: isLive ? now : 0,
      step,
    });
  }

  private get(id: number, width: number | undefined, height: number | undefined): Experiment {
    const known = this.experiments.get(id);
    if (known) return known;
    const experiment: Experiment = {
      id,
      name: `experiment ${id}`,
      width: width ?? 2,
      height: height ?? 2,
      walls: undefined,
      state: "running",
      winner: undefined,
      agents: new Map(),
      visits: new Map(),
      steps: 0,
      recent: [],
    };
    this.experiments.set(id, experiment);
    this.listVersion += 1;
    if (this.experiments.size > MOST_EXPERIMENTS) {
      const oldest = this.sorted().filter((one) => one !== experiment).at(-1);
      if (oldest) this.experiments.delete(oldest.id);
    }
    return experiment;
  }
}

/** The key of a cell in `visits`. */
export function cellOf(key: number): { x: number; y: number } {
  return { x: key % MOST_CELLS, y: Math.floor(key / MOST_CELLS) };
}

/** A bigint may come as a string. */
function number(value: unknown): number | undefined {
  if (value === null || value === undefined || value === "") return undefined;
  const found = Number(value);
  return Number.isFinite(found) ? found : undefined;
}

function size(value: unknown): number | undefined {
  const found = number(value);
  return found !== undefined && found >= 1 && found <= MOST_CELLS ? found : undefined;
}
