// What the replication slot holds back: three figures, a small chart, and what is to come of it.

/** As `/v1/source` says it; whatever is not known is null. */
export interface SourceReport {
  source?: { state?: string };
  slot?: {
    slot?: string;
    state?: string;
    retained_bytes?: number | null;
    lag_seconds?: number | null;
    seconds_to_limit?: number | null;
    headroom_bytes?: number | null;
    headroom_limit?: string | null;
    danger?: string;
    why?: string | null;
  } | null;
  slot_past_bytes?: number[] | null;
  level?: string | null;
}

/** Points of the chart: at one every 5 seconds, the last ten minutes. */
const POINTS = 120;

const [WIDTH, HEIGHT] = [240, 56];

const NAMESPACE = "http://www.w3.org/2000/svg";

/** The elements that it fills. */
export interface SourcePlace {
  card: HTMLElement;
  lag: HTMLElement;
  held: HTMLElement;
  forecast: HTMLElement;
  level: HTMLElement;
  note: HTMLElement;
  chart: SVGSVGElement;
}

export class SourcePanel {
  private points: number[] = [];

  constructor(private readonly place: SourcePlace) {}

  /** Nothing is known: this server has nobody who looks, or can't say now. */
  unknown(why: string): void {
    this.place.note.textContent = why;
    this.place.note.hidden = false;
    this.place.card.dataset["known"] = "false";
  }

  show(report: SourceReport): void {
    const { slot } = report;
    if (!slot) {
      const why = report.source ? "The slot was not seen yet." : "Nobody looks at the slot here.";
      return this.unknown(why);
    }
    const { lag, held, forecast, level, note, card } = this.place;
    card.dataset["known"] = "true";
    const bytes = slot.retained_bytes ?? 0;
    if (this.points.length === 0) this.points.push(...(report.slot_past_bytes ?? []));
    this.points.push(bytes);
    this.points.splice(0, Math.max(0, this.points.length - POINTS));
    lag.textContent = typeof slot.lag_seconds === "number" ? span(slot.lag_seconds) : "–";
    held.textContent = amount(bytes);
    forecast.textContent = outlook(slot);
    const isBad = report.level && report.level !== "ok" && report.level !== "none";
    level.hidden = !isBad;
    level.textContent = report.level ?? "";
    note.hidden = !slot.why;
    note.textContent = slot.why ?? "";
    this.draw(bytes);
  }

  private draw(bytes: number): void {
    const { chart } = this.place;
    const most = Math.max(...this.points, 1);
    const step = WIDTH / Math.max(1, this.points.length - 1);
    const line = this.points.map((point, index) => {
      const y = HEIGHT - 3 - (point / most) * (HEIGHT - 8);
      return `${(index * step).toFixed(1)},${y.toFixed(1)}`;
    });
    const area = document.createElementNS(NAMESPACE, "polygon");
    area.setAttribute("class", "area");
    area.setAttribute("points", `0,${HEIGHT} ${line.join(" ")} ${WIDTH},${HEIGHT}`);
    const stroke = document.createElementNS(NAMESPACE, "polyline");
    stroke.setAttribute("class", "line");
    stroke.setAttribute("points", line.join(" "));
    chart.replaceChildren(area, stroke);
    const label = `Log held back by the slot: ${amount(bytes)} now, ${amount(most)} at most`;
    chart.setAttribute("aria-label", label);
  }
}

function outlook(slot: NonNullable<SourceReport["slot"]>): string {
  if (slot.danger === "reached") return "limit reached";
  if (typeof slot.seconds_to_limit === "number") return `limit in ${span(slot.seconds_to_limit)}`;
  if (typeof slot.headroom_bytes === "number") return `${amount(slot.headroom_bytes)} of room`;
  return slot.danger === "unknown" ? "not known yet" : "no limit is near";
}

/** A number of bytes as a person reads it. */
export function amount(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** A number of seconds as a person reads it. */
export function span(seconds: number): string {
  if (seconds < 1) return seconds <= 0 ? "none" : `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
