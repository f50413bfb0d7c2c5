// Follows a table as Server-Sent Events with nothing but `fetch`, and resumes by itself.
//
// Arguments: the address (http://host:port). WALGATE_TOKEN is the token. Prints `ready`, and the id and the key of
// each event.

const address = process.argv[2];
let last = null;

function block(text) {
  let event = "message";
  let data = null;
  for (const line of text.split("\n")) {
    const [field, value] = line.split(/:(.*)/s);
    if (field === "id") last = value.trim() || null;
    else if (field === "event") event = value.trim();
    else if (field === "data") data = JSON.parse(value);
  }
  if (data === null) return;
  if (event === "message") console.log(`${data.id} ${data.key.id}`);
  if (event === "ready") console.log("ready");
}

async function follow() {
  const headers = { Authorization: `Bearer ${process.env.WALGATE_TOKEN}` };
  if (last !== null) headers["Last-Event-ID"] = last;
  const answer = await fetch(`${address}/v1/events?table=public.t`, { headers });
  if (answer.status === 401) {
    console.log("refused 401");
    process.exit(0);
  }
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of answer.body) {
    const blocks = (rest + decoder.decode(bytes, { stream: true })).split("\n\n");
    rest = blocks.pop();
    blocks.forEach(block);
  }
}

for (;;) {
  // A connection that is refused or breaks is made again.
  await follow().catch(() => {});
  await new Promise((resume) => setTimeout(resume, 100));
}
