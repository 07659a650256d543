/**
 * The beginning of a runner's connection: what it has to show, and how it is turned away. Whoever does not show the token of a runner
 * of this session gets the same answer whether the session exists, was deleted, or never was.
 */
import { type Refusal, refuse } from "./connection.ts";

export interface Knock {
  readonly token: string;
  readonly generation: number;
}

/** Returns what a request shows; an answer if that is no knock. The answer does not depend on the session. */
export function readKnock(request: Request): Knock | Response {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return new Response("This address takes WebSockets.", { status: 426, headers: { upgrade: "websocket" } });
  }
  const token = /^Bearer (\S{1,512})$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  const generation = Number(request.headers.get("x-valet-generation"));
  if (token === undefined || !Number.isSafeInteger(generation) || generation < 1) {
    return new Response("A runner's token and generation are needed.", { status: 401 });
  }
  return { token, generation };
}

/** Refuses by a frame and a close code: WebSocket clients see no HTTP status. */
export function turnAway(reason: Refusal): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  refuse(server, reason);
  return new Response(null, { status: 101, webSocket: client });
}

/** Answers a runner of a session that does not exist, or that was deleted with the tokens of its runners. */
export function refuseStranger(request: Request): Response {
  const knock = readKnock(request);
  return knock instanceof Response ? knock : turnAway("token_refused");
}
