// What is said on the line: PROTOCOL.md and the event of FORMAT, as types.

/** A value of a column, as the event's JSON has it. */
export type Value = null | boolean | number | string | Value[] | { [key: string]: Value };

/** A row, or a part of one, by column name. */
export type Row = { [column: string]: Value };

/** What an event tells of. `read` is a row of an initial copy; `leave`: the row does not match any more. */
export type Op =
  | "insert" | "update" | "delete" | "truncate" | "message"
  | "schema" | "begin" | "commit" | "gap" | "leave" | "read";

/** One change. Keys that do not apply are left out; `null` always means SQL NULL. */
export interface ChangeEvent {
  /** The position; ids sort as text in the order of the log. Left out of `schema`. */
  id?: string;
  op: Op;
  schema?: string;
  table?: string;
  /** What identifies the row. */
  key?: Row;
  /** What the log holds of the old row. */
  before?: Row;
  /** The new row, without the columns of `unchanged`. */
  after?: Row;
  /** Large columns that the update did not touch: keep the value that you have. */
  unchanged?: string[];
  lsn?: string;
  xid?: number;
  /** When it was committed, UTC with microseconds. */
  time?: string;
  [key: string]: unknown;
}

/** What is wanted of the stream. Everything that is left out means "all". */
export interface Subscription {
  /** Your own name for it, unique on the connection. */
  id?: string;
  /** `schema.table`, `schema.*` or `*`. */
  tables?: string[];
  ops?: Op[];
  /** A row filter, as FILTERS.md describes it. */
  where?: string;
  /** Columns of `before`, `after` and `unchanged`; those of the key always come. */
  columns?: string[];
  /** `begin` and `commit` around the events of a transaction. */
  transactions?: boolean;
  /** Refuse a filter that the log can't judge exactly. */
  strict?: boolean;
}

/** How exactly the log can judge a subscription's filter. */
export interface Exactness {
  id: string;
  exact: boolean;
  inexact?: { schema: string; table: string; columns: string[]; fix: string }[];
}

/** From here on events come as they are committed. */
export interface Ready {
  type: "ready";
  position: string;
  delivery: "resumable" | "live-only";
  subscriptions: Exactness[];
  /** When the token expires. */
  expires?: string;
}

/** The position can't be resumed from: take a new copy. */
export interface ResyncRequired {
  type: "resync_required";
  reason: string;
  /** What can still be resumed from. */
  oldest?: string;
}

/** Everything that a server says besides events. Ignore what you don't know. */
export type Answer =
  | Ready
  | ResyncRequired
  | { type: "position"; position: string }
  | { type: "subscriptions"; position: string; subscriptions: Exactness[] }
  | { type: "snapshot"; rows: number; position: string }
  | { type: "token"; expires?: string }
  | { type: "error"; code: string; message: string; subscription?: string }
  | { type: "closed"; code: number; reason: string; position?: string };

/** What to do about an end. */
export type Remedy = "reconnect" | "token" | "resync" | "give-up";

/** What PROTOCOL.md says about a close code. A connection that just broke has 1005 or 1006. */
export function remedy(code: number): Remedy {
  switch (code) {
    case 4401:
      return "token";
    case 4410:
      return "resync";
    // The client, or what it wants, has to be mended: the same again would be refused again.
    case 1002:
    case 1003:
    case 1007:
    case 1008:
    case 1009:
    case 1010:
    case 4400:
    // There is no such initial copy, or it is too large.
    case 4411:
    case 4412:
      return "give-up";
    default:
      return "reconnect";
  }
}

const POSITION = /^[0-9a-f]{16}-[0-9a-f]{8}$/;

/** Whether a text is an event id. */
export function isPosition(text: unknown): text is string {
  return typeof text === "string" && POSITION.test(text);
}
