// pg-logical-replication on one slot: each change becomes JSON, which is counted and thrown away.
//
// Arguments: server as a URL, publication. Prints "ready" and reads a line "SLOT CHANGES"; then prints "first" with
// the first change and "done CHANGES BYTES" with the last one, and ends with its input.
import { once } from "node:events";
import { LogicalReplicationService, PgoutputPlugin } from "pg-logical-replication";

const [url, publication] = process.argv.slice(2);

console.log("ready");
const [line] = await once(process.stdin, "data");
const [slot, changes] = line.toString().trim().split(" ");
const wanted = Number(changes);
process.stdin.on("end", () => process.exit(0));

const service = new LogicalReplicationService(
  { connectionString: url },
  { acknowledge: { auto: true, timeoutSeconds: 10 } },
);
let seen = 0;
let bytes = 0;
service.on("data", (_lsn, log) => {
  if (log.tag !== "insert" && log.tag !== "update" && log.tag !== "delete") return;
  const { tag, relation, old, key } = log;
  const event = { op: tag, schema: relation.schema, table: relation.name, before: old ?? key, after: log.new };
  const json = JSON.stringify(event, (_name, value) => (typeof value === "bigint" ? value.toString() : value));
  if (seen === 0) console.log("first");
  seen += 1;
  bytes += json.length;
  if (seen === wanted) console.log(`done ${seen} ${bytes}`);
});
service.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
await service.subscribe(new PgoutputPlugin({ protoVersion: 1, publicationNames: [publication] }), slot);
