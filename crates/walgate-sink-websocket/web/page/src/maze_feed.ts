// Follows the tables of sql/maze.sql, from whatever the server can begin with.

import { type State, Stream, type StreamOptions, type Subscription } from "../../client/src/index.js";
import type { Maze } from "./maze.js";

/** What the page does for it. */
export interface MazeSurroundings {
  server: URL;
  token: StreamOptions["token"];
  maze: Maze;
  state: (state: State) => void;
  missed: (reason: string) => void;
}

/** The server makes no initial copy, or not of so much: 4400 is what one says that knows of none. */
const NO_COPY = [4400, 4411, 4412];

export class MazeFeed {
  private stream: Stream | undefined;
  /** An initial copy where the server makes one, else everything that it still holds. */
  private canCopy = true;
  private chosen: number | undefined;

  constructor(private readonly around: MazeSurroundings) {
    this.open();
  }

  /** Follows one experiment, or all; the server leaves out the steps of others. */
  choose(id: number | undefined): void {
    if (id === this.chosen) return;
    this.chosen = id;
    this.open();
  }

  /** Whether everything has come that there is. */
  get isSettled(): boolean {
    return this.stream?.state.name === "live";
  }

  reconnect(): void {
    this.stream?.reconnect();
  }

  private subscriptions(): Subscription[] {
    const steps: Subscription = { id: "steps", tables: ["maze.agent_actions"], ops: ["insert"] };
    if (this.chosen !== undefined) steps.where = `experiment_id = ${this.chosen}`;
    return [{ id: "experiments", tables: ["maze.experiments"] }, steps];
  }

  private open(): void {
    const { around } = this;
    this.stream?.close();
    let isFirst = true;
    // What is there is shown until the first row of the new stream comes.
    const begin = () => {
      if (isFirst) around.maze.clear();
      isFirst = false;
    };
    const stream: Stream = new Stream(around.server, {
      subscriptions: this.subscriptions(),
      token: around.token,
      ...(this.canCopy ? { snapshot: true } : { from: "oldest" }),
      onSnapshot: (phase) => {
        if (phase === "begin") isFirst = true;
      },
      onEvent: (event) => {
        const isLive = stream.state.name === "live";
        if (!isLive) begin();
        around.maze.take(event, performance.now(), isLive);
      },
      onResync: (answer) => {
        around.missed(answer.reason);
        isFirst = true;
        return this.canCopy ? "snapshot" : "oldest";
      },
      onState: (state) => {
        // What it was told to close has nothing to say.
        if (this.stream !== stream && this.stream !== undefined) return;
        const isRefused = state.name === "closed" && NO_COPY.includes(state.error?.code ?? 0);
        if (isRefused && this.canCopy) {
          this.canCopy = false;
          queueMicrotask(() => this.open());
          return;
        }
        around.state(state);
      },
    });
    this.stream = stream;
  }
}
