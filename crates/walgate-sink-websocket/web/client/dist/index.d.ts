export { Backoff, type BackoffOptions } from "./backoff.js";
export { type Block, EventStreamParser, type Fetcher } from "./event_stream_link.js";
export { type Answer, type ChangeEvent, type Exactness, type Op, type Ready, type Remedy, type ResyncRequired, type Row, type Subscription, type Value, isPosition, remedy, } from "./protocol.js";
export { Stream, follow } from "./stream.js";
export { type ResyncChoice, type State, StreamError, type StreamOptions } from "./stream_options.js";
export type { TokenReason, TokenSource } from "./token.js";
export type { Socket, SocketMaker } from "./websocket_link.js";
