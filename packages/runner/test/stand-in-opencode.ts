/**
 * Stands in for the process `opencode serve` where only its start, its silence or its end matter: a shell prints where it listens, and
 * the test's own process answers there. A start of the real one takes four seconds of CPU time.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CHILD_SESSION_TOOLS } from "@valet/shared/protocol/child-sessions";
import { NO_WALL, type Wall } from "../src/wall/wall.ts";
import { type AtEnd, temporaryFolder } from "./folder.ts";

/** Returns the answer to a request; `undefined` for the usual one. */
type Answer = (request: string) => Response | Promise<Response> | undefined;

export interface StandIn {
  /** Starts the stand-in instead of OpenCode. */
  readonly wall: Wall;
  /** The requests in order, for example `POST /session`. Health checks are not among them. */
  readonly requests: readonly string[];
  /** Returns the pid of the process that was started last. */
  pid(): number;
  /** Breaks all connections, and takes no more. */
  close(): Promise<void>;
}

const HEALTH = "GET /global/health";

export function standInForOpenCode(atEnd: AtEnd, answer: Answer = () => undefined): StandIn {
  const requests: string[] = [];
  const pidFile = join(temporaryFolder(atEnd), "pid");
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch({ method, url }) {
      const request = `${method} ${new URL(url).pathname}`;
      if (request !== HEALTH) requests.push(request);
      return (await answer(request)) ?? usualAnswer(request);
    },
  });
  atEnd(() => server.stop(true));
  const script = `echo $$ > ${pidFile}; echo "listening on http://127.0.0.1:${server.port}"; exec sleep 1000`;
  return {
    wall: { ...NO_WALL, enter: async () => ({ command: ["/bin/sh", "-c", script], cwd: "/" }) },
    requests,
    pid: () => Number(readFileSync(pidFile, "utf8")),
    close: () => server.stop(true),
  };
}

function usualAnswer(request: string): Response {
  switch (request) {
    case HEALTH:
      return Response.json({ healthy: true, version: "stand-in" });
    case "GET /event":
      return eventStream();
    case "GET /experimental/tool/ids":
      return Response.json(Object.values(CHILD_SESSION_TOOLS));
    case "GET /session":
      return Response.json([]);
    case "POST /session":
      return Response.json({ id: "ses_1" });
    default:
      return Response.json({});
  }
}

/** Returns a stream that stays open, and whose only event is the first. */
function eventStream(): Response {
  const connected = `data: ${JSON.stringify({ type: "server.connected", properties: {} })}\n\n`;
  const stream = new ReadableStream<string>({ start: (controller) => controller.enqueue(connected) });
  return new Response(stream.pipeThrough(new TextEncoderStream()), {
    headers: { "content-type": "text/event-stream" },
  });
}
