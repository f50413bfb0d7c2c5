// Asks the test that has started this script for what only it can do: SQL, and to stop and start Walgate.

import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let turn = Promise.resolve();

/** Asks for something and waits until it is done. One after the other. */
function ask(what, text = "") {
  const answer = turn.then(async () => {
    process.stdout.write(`ask ${JSON.stringify({ do: what, text })}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error("the test has gone");
    const parsed = JSON.parse(value);
    if (parsed.error) throw new Error(`${what} ${text}: ${parsed.error}`);
    return parsed.value;
  });
  turn = answer.catch(() => {});
  return answer;
}

export const sql = (text) => ask("sql", text);
/** The first column of each row; it must be text. */
export const query = (text) => ask("query", text);
export const stop = () => ask("stop");
export const start = () => ask("start");
/** Breaks all connections. */
export const cut = () => ask("cut");

/** Only bounds a script that hangs. */
const PATIENCE_MS = 120_000;

/** Waits until `condition` gives something, and returns it. */
export async function until(what, condition) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Takes away what a stopped Walgate remembers, and changes from the slot that nobody has got. */
export async function lose() {
  await ask("forget");
  await sql("create table if not exists public.lost (id int)");
  await sql("insert into public.lost values (1)");
  const advance = "select pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) " +
    "from pg_replication_slots where database = current_database()";
  // The server may not know yet that Walgate has gone.
  await until("the slot is advanced", () => sql(advance).then(() => true, () => false));
}

/** Runs the steps of a script, and ends the process. */
export async function script(steps) {
  try {
    for (const [name, step] of Object.entries(steps)) {
      const begun = Date.now();
      try {
        await step();
      } catch (error) {
        throw new Error(`${name}: ${error.message}`, { cause: error });
      }
      console.log(`  ${name}: ${Date.now() - begun} ms`);
    }
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
  process.exit(0);
}
