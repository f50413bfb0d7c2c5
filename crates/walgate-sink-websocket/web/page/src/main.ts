// The page: puts the parts together. Everything that moves is written once for each frame.

import { type ChangeEvent, Stream, type Subscription } from "../../client/src/index.js";
import { Changes } from "./changes.js";
import { ExperimentList } from "./experiments.js";
import { Maze } from "./maze.js";
import { MazeFeed } from "./maze_feed.js";
import { MazeView } from "./maze_view.js";
import { SourcePanel, type SourceReport } from "./source_panel.js";
import { Status } from "./status.js";
import { themeSwitch } from "./theme.js";
import { TokenPrompt } from "./token_prompt.js";
import { Vitals } from "./vitals.js";

/** How often the slot is looked at; the server itself looks no more often. */
const SOURCE_EVERY_MS = 5_000;

/** A filter is sent when nobody has typed for so long. */
const TYPED_MS = 500;

/** Words and figures that change all the time are written so often. */
const WORDS_EVERY_MS = 500;

/** Names of tables that are offered. */
const MOST_TABLES = 500;

function get<T extends Element>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`there is no #${id}`);
  return found as Element as T;
}

const server = new URL(".", location.href);
const maze = new Maze();
const vitals = new Vitals();
const status = new Status({
  chip: get("connection"),
  text: get("connection-text"),
  notice: get("notice"),
  announcer: get("announcer"),
});
const prompt = new TokenPrompt({
  dialog: get("token-dialog"),
  title: get("token-title"),
  why: get("token-why"),
  input: get("token"),
  later: get("token-later"),
  announcer: get("announcer"),
});
const view = new MazeView(get("maze"), maze);
themeSwitch(get("theme"), () => view.repaint());

let chosen: number | undefined;

const experiments = new ExperimentList(get("experiments"), maze, choose);

const changes = new Changes({
  body: get("rows"),
  empty: get("rows-empty"),
  count: get("changes-count"),
  open: openEvent,
});

const feed = new MazeFeed({
  server,
  token: prompt.source(),
  maze,
  state: (state) => status.set("maze", state),
  missed: (reason) => status.tell(`Resync: ${reason}. The maze begins anew with what is there.`),
});

function choose(id: number | undefined): void {
  chosen = id;
  feed.choose(id);
  view.repaint();
}

function openEvent(event: ChangeEvent): void {
  get("event-title").textContent = `${event.op} ${event.table ? `${event.schema}.${event.table}` : ""}`;
  get("event-json").textContent = JSON.stringify(event, undefined, 2);
  get<HTMLDialogElement>("event-dialog").showModal();
}

// --- the table ------------------------------------------------------------------------------------

const tables = new Set<string>();
let wanted: Subscription = {};
let wishes = 0;
let isPaused = false;

const all: Stream = new Stream(server, {
  subscriptions: [{ id: "0" }],
  token: prompt.source(),
  onEvent: (event) => {
    know(event.schema, event.table);
    const isLive = all.state.name === "live";
    if (!isPaused) vitals.note(performance.now(), isLive ? event.time : undefined);
    changes.take(event);
  },
  onState: (state) => {
    status.set("changes", state);
    if (state.name !== "live") return;
    void look();
    void offer();
  },
  onResync: (answer) => {
    status.tell(`Resync: ${answer.reason}. Changes are missing here; the table goes on with what comes.`);
    changes.clear();
    return "live";
  },
});

function know(schema: string | undefined, table: string | undefined): void {
  if (schema === undefined || table === undefined) return;
  const name = `${schema}.${table}`;
  if (tables.has(name) || tables.size >= MOST_TABLES) return;
  tables.add(name);
  const option = document.createElement("option");
  option.value = name;
  get("tables").append(option);
}

/** Asks the server for other changes; what it refuses leaves everything as it was. */
async function filter(): Promise<void> {
  const table = get<HTMLInputElement>("filter-table").value.trim();
  const where = get<HTMLInputElement>("filter-where").value.trim();
  const next: Subscription = {};
  if (table) next.tables = [table.includes(".") || table === "*" ? table : `public.${table}`];
  if (where) next.where = where;
  if (JSON.stringify(next) === JSON.stringify(wanted)) return;
  const before = wanted;
  wanted = next;
  const error = get<HTMLElement>("filter-error");
  wishes += 1;
  const [old, id] = [String(wishes - 1), String(wishes)];
  try {
    await all.subscribe({ ...next, id });
    await all.unsubscribe(old);
    changes.clear();
    error.hidden = true;
    get<HTMLElement>("changes").dataset["filter"] = JSON.stringify(next);
  } catch (problem) {
    if (wishes === Number(id)) wishes -= 1;
    wanted = before;
    error.textContent = problem instanceof Error ? problem.message : String(problem);
    error.hidden = false;
  }
}

/** One change of the filter after the other. */
let filtering: Promise<void> = Promise.resolve();
let typing: ReturnType<typeof setTimeout> | undefined;
const filterSoon = (ms: number) => {
  clearTimeout(typing);
  typing = setTimeout(() => (filtering = filtering.then(filter)), ms);
};

for (const id of ["filter-table", "filter-where"]) {
  get(id).addEventListener("input", () => filterSoon(TYPED_MS));
  get(id).addEventListener("change", () => filterSoon(0));
}
get("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  filterSoon(0);
});
get<HTMLInputElement>("search").addEventListener("input", (event) => {
  changes.find((event.target as HTMLInputElement).value);
});
get("filters").addEventListener("change", (event) => {
  if ((event.target as HTMLInputElement).name !== "op") return;
  const boxes = document.querySelectorAll<HTMLInputElement>('input[name="op"]:not(:checked)');
  changes.hide(new Set([...boxes].map((box) => box.value)));
});

function pause(): void {
  isPaused = !isPaused;
  const button = get<HTMLButtonElement>("pause");
  button.setAttribute("aria-pressed", String(isPaused));
  button.textContent = isPaused ? "Go on" : "Pause";
  changes.pause(isPaused);
}
get("pause").addEventListener("click", pause);

// --- the slot -------------------------------------------------------------------------------------

const panel = new SourcePanel({
  card: get("source-card"),
  lag: get("source-lag"),
  held: get("source-held"),
  forecast: get("source-forecast"),
  level: get("source-level"),
  note: get("source-note"),
  chart: get("source-chart"),
});

async function ask(path: string): Promise<unknown> {
  const headers: Record<string, string> = {};
  if (prompt.token) headers["authorization"] = `Bearer ${prompt.token}`;
  const response = await fetch(new URL(path, server), { headers, cache: "no-store" });
  if (!response.ok) throw new Error(String(response.status));
  return response.json();
}

/** The names of tables to choose from; more come with the changes. */
async function offer(): Promise<void> {
  try {
    const known = (await ask("v1/tables")) as { tables?: { schema: string; table: string }[] };
    for (const { schema, table } of known.tables ?? []) know(schema, table);
  } catch {
    // It is a help and no more.
  }
}

async function look(): Promise<void> {
  if (document.hidden || all.state.name !== "live") return;
  try {
    panel.show((await ask("v1/source")) as SourceReport);
  } catch {
    panel.unknown("The slot can't be seen now.");
  }
}
setInterval(() => void look(), SOURCE_EVERY_MS);

// --- keys and connections -------------------------------------------------------------------------

get("help").addEventListener("click", () => get<HTMLDialogElement>("help-dialog").showModal());

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target as Element;
  if (target.matches("input:not([type=radio], [type=checkbox]), textarea") || target.closest("dialog")) {
    if (event.key === "Escape" && target instanceof HTMLElement) target.blur();
    return;
  }
  if (event.key === "p") pause();
  else if (event.key === "t") get<HTMLElement>("theme").click();
  else if (event.key === "?") get<HTMLElement>("help").click();
  else if (event.key === "/") get<HTMLElement>("search").focus();
  else if (/^[0-9]$/.test(event.key)) {
    const at = Number(event.key);
    if (at === 0 || experiments.at(at) !== undefined) choose(experiments.at(at));
  } else return;
  event.preventDefault();
});

addEventListener("online", () => {
  feed.reconnect();
  all.reconnect();
});

// --- frames ---------------------------------------------------------------------------------------

let wroteWords = 0;
let described = 0;

function frame(now: number): void {
  if (chosen !== undefined && !maze.experiments.has(chosen) && maze.experiments.size > 0) {
    // It was deleted.
    if (feed.isSettled) choose(undefined);
  }
  view.frame(now, chosen);
  experiments.frame(now, chosen);
  if (changes.frame(now)) vitals.shown();
  if (now - wroteWords > WORDS_EVERY_MS) {
    wroteWords = now;
    words(now);
  }
  requestAnimationFrame(frame);
}

function words(now: number): void {
  const set = (id: string, text: string) => {
    const place = get(id);
    if (place.textContent !== text) place.textContent = text;
  };
  set("latency", vitals.words());
  const rate = vitals.rate(now);
  set("rate", rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en"));
  const shown = view.shown(chosen);
  get<HTMLElement>("maze-empty").hidden = shown.length > 0;
  const one = shown[0];
  const end = one?.winner === undefined ? "" : `, agent ${one.winner} reached the goal`;
  const alone = one && shown.length === 1;
  set("stage-note", alone ? `${one.name}: ${one.steps} steps${end}` : "");
  // Not with each step: a screen reader would read nothing else.
  if (now - described > 10 * WORDS_EVERY_MS) {
    described = now;
    view.describe(chosen);
  }
}

requestAnimationFrame(frame);
