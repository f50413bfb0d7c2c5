// Follows a table over WebSocket with the library `ws`, and resumes by itself.
//
// Arguments: the address (ws://host:port). WALGATE_TOKEN is the token. Prints `ready`, and the id and the key of
// each event.
"use strict";

const WebSocket = require("ws");

const address = process.argv[2];
let last = null;

function follow() {
  const after = last === null ? "" : `&after=${last}`;
  const headers = { Authorization: `Bearer ${process.env.WALGATE_TOKEN}` };
  const socket = new WebSocket(`${address}/v1/stream?table=public.t${after}`, { headers });
  socket.on("message", (text) => {
    const message = JSON.parse(text);
    if (message.op !== undefined) {
      last = message.id;
      console.log(`${last} ${message.key.id}`);
    } else if (message.type === "ready" || message.type === "position") {
      last = message.position;
      if (message.type === "ready") console.log("ready");
    }
  });
  socket.on("unexpected-response", (_request, response) => {
    if (response.statusCode === 401) {
      console.log("refused 401");
      process.exit(0);
    }
    socket.terminate();
  });
  // What ends a connection is told by "close", too.
  socket.on("error", () => {});
  socket.on("close", () => setTimeout(follow, 100));
}

follow();
