// Draws experiments on a canvas: one large, or many as tiles.

import { type Agent, type Experiment, type Maze, cellOf } from "./maze.js";

/** How long a step is drawn, in milliseconds. */
const STEP_MS = 160;

/** Tiles at once; more would be dots. */
const MOST_TILES = 6;

/** Agents' colours: told apart with every common colour blindness, on light and on dark. */
export const AGENT_COLOURS = [
  "#e4572e", "#2f7ed8", "#e0a100", "#8e5bd0", "#17a398", "#d6478c", "#7a8b1f", "#5b6c80",
];

export function colourOf(agent: number): string {
  return AGENT_COLOURS[(agent - 1 + AGENT_COLOURS.length) % AGENT_COLOURS.length] ?? "#888";
}

interface Colours {
  paper: string;
  wall: string;
  floor: string;
  ink: string;
  muted: string;
  goal: string;
}

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Between the name of a maze and its steps. */
const CAPTION_GAP = 8;

/** Draws when something has changed or moves. */
export class MazeView {
  private readonly context: CanvasRenderingContext2D;
  private readonly calm = matchMedia("(prefers-reduced-motion: reduce)");
  private drawn = -1;
  private movesUntil = 0;
  private colours: Colours;
  private label = "";
  /** The experiment that is shown alone. */
  private chosen: number | undefined;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly maze: Maze,
  ) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser has no canvas");
    this.context = context;
    this.colours = this.readColours();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  /** After a change of colours. */
  repaint(): void {
    this.colours = this.readColours();
    this.drawn = -1;
  }

  /** Called for each frame; draws when there is a reason to. */
  frame(now: number, chosen: number | undefined): void {
    const { version } = this.maze;
    this.chosen = chosen;
    const changed = version !== this.drawn;
    if (changed) this.movesUntil = now + STEP_MS + 20;
    if (!changed && now > this.movesUntil) return;
    this.drawn = version;
    this.draw(now, chosen);
  }

  /** What is drawn now, for those who can't see it. */
  describe(chosen: number | undefined): void {
    const shown = this.shown(chosen);
    const parts = shown.map((one) => {
      const end = one.winner === undefined ? "" : `, agent ${one.winner} has won`;
      return `${one.name}, ${one.state}, ${one.agents.size} agents, ${one.steps} steps${end}`;
    });
    const label = parts.length ? `The maze: ${parts.join("; ")}` : "The maze: nothing is running yet";
    if (label === this.label) return;
    this.label = label;
    this.canvas.setAttribute("aria-label", label);
  }

  shown(chosen: number | undefined): Experiment[] {
    const one = chosen === undefined ? undefined : this.maze.experiments.get(chosen);
    if (chosen !== undefined) return one ? [one] : [];
    return this.maze.sorted().slice(0, MOST_TILES);
  }

  private resize(): void {
    const scale = Math.min(devicePixelRatio || 1, 2);
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(1, Math.round(clientWidth * scale));
    this.canvas.height = Math.max(1, Math.round(clientHeight * scale));
    this.context.setTransform(scale, 0, 0, scale, 0, 0);
    // At once: a canvas of another size is empty.
    this.draw(performance.now(), this.chosen);
  }

  private readColours(): Colours {
    const style = getComputedStyle(document.documentElement);
    const of = (name: string) => style.getPropertyValue(name).trim() || "#888";
    return {
      paper: of("--card"),
      wall: of("--wall"),
      floor: of("--floor"),
      ink: of("--ink"),
      muted: of("--muted"),
      goal: of("--accent"),
    };
  }

  private draw(now: number, chosen: number | undefined): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.context.clearRect(0, 0, width, height);
    const shown = this.shown(chosen);
    const boxes = tiles(shown.length, width, height);
    for (const [index, experiment] of shown.entries()) {
      const box = boxes[index];
      if (box) this.drawOne(experiment, box, now, shown.length > 1);
    }
  }

  private drawOne(experiment: Experiment, box: Box, now: number, isTile: boolean): void {
    const { context } = this;
    const captionHeight = isTile ? 20 : 0;
    const cell = Math.min(
      (box.width - 8) / experiment.width,
      (box.height - captionHeight - 8) / experiment.height,
    );
    // A canvas that is about to be laid out has no room.
    if (cell <= 0) return;
    const left = box.x + (box.width - cell * experiment.width) / 2;
    const top = box.y + captionHeight + (box.height - captionHeight - cell * experiment.height) / 2;
    if (isTile) this.drawCaption(experiment, left, top - 7, cell * experiment.width);
    context.save();
    context.translate(left, top);
    context.globalAlpha = experiment.state === "finished" ? 0.55 : 1;
    context.fillStyle = this.colours.floor;
    context.fillRect(0, 0, cell * experiment.width, cell * experiment.height);
    this.drawVisits(experiment, cell);
    this.drawGoal(cell, now);
    this.drawWalls(experiment, cell);
    for (const agent of experiment.agents.values()) this.drawAgent(experiment, agent, cell, now);
    context.restore();
  }

  private drawCaption(experiment: Experiment, x: number, y: number, width: number): void {
    const { context, colours } = this;
    const style = getComputedStyle(this.canvas);
    const end = experiment.winner === undefined ? "" : ` · ${experiment.winner} won`;
    const steps = `${experiment.steps}${end}`;
    context.textBaseline = "alphabetic";
    context.font = `12px ${style.fontFamily}`;
    context.textAlign = "right";
    context.fillStyle = colours.muted;
    context.fillText(steps, x + width, y);
    const room = width - context.measureText(steps).width - CAPTION_GAP;
    context.font = `600 12px ${style.fontFamily}`;
    context.textAlign = "left";
    context.fillStyle = colours.ink;
    context.fillText(experiment.name, x, y, Math.max(room, CAPTION_GAP));
  }

  private drawVisits(experiment: Experiment, cell: number): void {
    const { context } = this;
    const alpha = context.globalAlpha;
    for (const [key, visit] of experiment.visits) {
      const { x, y } = cellOf(key);
      context.globalAlpha = alpha * Math.min(0.1 + 0.06 * visit.times, 0.34);
      context.fillStyle = colourOf(visit.agent);
      context.fillRect(x * cell, y * cell, cell + 0.5, cell + 0.5);
    }
    context.globalAlpha = alpha;
  }

  /** The goal is the corner (0, 0). */
  private drawGoal(cell: number, now: number): void {
    const { context, colours } = this;
    const beat = this.calm.matches ? 0.5 : 0.5 + 0.5 * Math.sin(now / 420);
    context.strokeStyle = colours.goal;
    context.fillStyle = colours.goal;
    context.lineWidth = Math.max(1.5, cell * 0.07);
    context.beginPath();
    context.arc(cell / 2, cell / 2, cell * (0.26 + 0.05 * beat), 0, 2 * Math.PI);
    context.stroke();
    context.beginPath();
    context.arc(cell / 2, cell / 2, cell * 0.11, 0, 2 * Math.PI);
    context.fill();
  }

  private drawWalls(experiment: Experiment, cell: number): void {
    const { context, colours } = this;
    const { width, height, walls } = experiment;
    context.strokeStyle = colours.wall;
    context.lineWidth = Math.max(1.5, Math.min(cell * 0.11, 5));
    context.lineCap = "round";
    context.beginPath();
    if (!walls) {
      // Never told: only the bounds of what was walked.
      context.rect(0, 0, width * cell, height * cell);
      context.setLineDash([4, 6]);
    } else {
      const isWall = (line: number, column: number) => walls[line]?.[column] === "#";
      for (let y = 0; y <= height; y += 1) {
        for (let x = 0; x < width; x += 1) {
          if (!isWall(2 * y, 2 * x + 1)) continue;
          context.moveTo(x * cell, y * cell);
          context.lineTo((x + 1) * cell, y * cell);
        }
      }
      for (let y = 0; y < height; y += 1) {
        for (let x = 0; x <= width; x += 1) {
          if (!isWall(2 * y + 1, 2 * x)) continue;
          context.moveTo(x * cell, y * cell);
          context.lineTo(x * cell, (y + 1) * cell);
        }
      }
    }
    context.stroke();
    context.setLineDash([]);
  }

  private drawAgent(experiment: Experiment, agent: Agent, cell: number, now: number): void {
    const { context } = this;
    const passed = this.calm.matches ? 1 : Math.min(1, (now - agent.movedAt) / STEP_MS);
    const eased = 1 - (1 - passed) ** 3;
    let x = agent.fromX + (agent.x - agent.fromX) * eased;
    let y = agent.fromY + (agent.y - agent.fromY) * eased;
    const angle = (agent.heading * Math.PI) / 2;
    if (agent.bumped) {
      const nudge = 0.16 * Math.sin(Math.PI * Math.min(1, passed));
      x += Math.sin(angle) * nudge;
      y -= Math.cos(angle) * nudge;
    }
    // Those who stand in one cell stand beside each other.
    const shift = ((agent.number - 1) % 4) - 1.5;
    const spread = experiment.agents.size > 1 ? cell * 0.07 : 0;
    const radius = Math.max(3, cell * 0.27);
    context.save();
    context.translate((x + 0.5) * cell + shift * spread, (y + 0.5) * cell + shift * spread * 0.6);
    context.rotate(angle);
    context.beginPath();
    // A drop that points where it goes.
    context.moveTo(0, -radius * 1.25);
    context.quadraticCurveTo(radius * 1.15, -radius * 0.2, radius * 0.72, radius * 0.62);
    context.quadraticCurveTo(0, radius * 1.15, -radius * 0.72, radius * 0.62);
    context.quadraticCurveTo(-radius * 1.15, -radius * 0.2, 0, -radius * 1.25);
    context.fillStyle = colourOf(agent.number);
    context.fill();
    context.lineWidth = Math.max(1, cell * 0.04);
    context.strokeStyle = this.colours.paper;
    context.stroke();
    if (radius >= 8) {
      context.rotate(-angle);
      context.fillStyle = "#fff";
      context.font = `700 ${Math.round(radius * 0.95)}px system-ui, sans-serif`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(String(agent.number), 0, radius * 0.06);
    }
    context.restore();
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
  }
}

/** Boxes for so many mazes, as large as they can be. */
function tiles(count: number, width: number, height: number): Box[] {
  let best = { columns: 1, area: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    // A maze is about three wide for two high.
    const side = Math.min(width / columns / 3, height / rows / 2);
    if (side > best.area) best = { columns, area: side };
  }
  const rows = Math.ceil(count / best.columns);
  const [boxWidth, boxHeight] = [width / best.columns, height / rows];
  return Array.from({ length: count }, (_, index) => ({
    x: (index % best.columns) * boxWidth + 6,
    y: Math.floor(index / best.columns) * boxHeight + 2,
    width: boxWidth - 12,
    height: boxHeight - 6,
  }));
}
