// What most people build: a trigger, LISTEN, and a WebSocket server that sends each notification to
// whoever wants it. Usage: node server.mjs PORT DATABASE_URL
import pg from 'pg';
import { WebSocketServer } from 'ws';

const [port, url] = process.argv.slice(2);

// By the experiment that they follow; those who follow all have none.
const clients = new Map();
const listener = new pg.Client({ connectionString: url });
await listener.connect();
listener.on('notification', ({ payload }) => {
  const { experiment_id: experiment } = JSON.parse(payload);
  for (const key of [null, experiment]) {
    for (const socket of clients.get(key) ?? []) socket.send(payload);
  }
});
await listener.query('listen moves');

// Only now: who is told that it is ready is given what is written from then on.
const server = new WebSocketServer({ port: Number(port), host: '127.0.0.1', perMessageDeflate: false, backlog: 4096 });

server.on('connection', (socket, request) => {
  const where = new URL(request.url, 'ws://localhost').searchParams.get('where');
  const experiment = where === null ? null : Number(where.split('=')[1]);
  if (!clients.has(experiment)) clients.set(experiment, new Set());
  const own = clients.get(experiment);
  own.add(socket);
  socket.on('close', () => own.delete(socket));
  socket.on('error', () => own.delete(socket));
  socket.send('{"type":"ready"}');
});
