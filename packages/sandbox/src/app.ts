import { fieldErrors, problemResponse } from "@valet/shared/http/problem";
import {
  type BrokerHealth,
  BrokerId,
  type BrokerProblem,
  type BrokerProblemCode,
  CheckRepository,
  CreateSandbox,
  type DeleteAnswer,
  DeleteSandbox,
  LIMIT_HEADER,
  MAX_BROKER_REQUEST_BYTES,
  type RepositoryAnswer,
  type SandboxAnswer,
  type SandboxList,
  SESSION_HEADER,
  SessionId,
  type SnapshotAnswer,
} from "@valet/shared/protocol/sandbox-broker";
import { sessionAttributes } from "@valet/shared/spans";
import type { SpanLimits } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { type Context, Hono } from "hono";
import { z } from "zod";
import { bearerCheck } from "./auth.ts";
import type { Driver } from "./driver.ts";
import { BrokerError, toBrokerError } from "./problem.ts";
import { RequestTrace, type Steps } from "./request-trace.ts";
import { Sandboxes } from "./sandboxes.ts";
import { withinLimit } from "./work-limit.ts";

export interface AppOptions {
  readonly driver: Driver;
  /** Callers must send one of these bearer tokens. */
  readonly secrets: readonly string[];
  /** Whether new sandboxes are refused; they are not if omitted. */
  readonly isDraining?: (() => boolean) | undefined;
  /** Receives unexpected errors of requests, and why sandboxes and snapshots fail. */
  readonly onError: (error: unknown) => void;
  /** The limits of spans. */
  readonly spanLimits?: SpanLimits | undefined;
}

/** Why sandboxes and snapshots fail here: a session's answers send their reader to the broker's log for it. */
const REPORTED: readonly BrokerProblemCode[] = [
  "start_failed",
  "snapshot_failed",
  "terminate_failed",
  "limit_exceeded",
];

/** Returns the answer's body, or throws. */
type Handler = (c: Context, steps: Steps) => Promise<object>;

const ListQuery = z.strictObject({ sessionId: SessionId });

/** The broker's HTTP API, independent of the driver. */
export function createApp({ driver, secrets, isDraining = () => false, onError, spanLimits }: AppOptions): Hono {
  const app = new Hono();
  const sandboxes = new Sandboxes(driver, isDraining);
  const isAuthorised = bearerCheck(secrets);

  const respondWithProblem = (error: BrokerError, spans?: string, about = "") => {
    if (error.code === "internal") onError(error.cause);
    const { title, detail } = error.problem;
    // Only a snapshot that is to be restored is not found with a detail.
    if (REPORTED.includes(error.code) || (error.code === "not_found" && detail !== undefined)) {
      // The log is the operator's, who needs the path.
      const { cause } = error;
      const why = cause instanceof Error && "path" in cause ? cause.message : detail;
      onError(new Error([`${about}${title}`, ...(why === undefined ? [] : [why])].join(": ")));
    }
    const body: BrokerProblem = { ...error.problem, ...withoutUndefined({ spans }) };
    return problemResponse(body, error.code === "unauthorized" ? { "www-authenticate": "Bearer" } : {});
  };

  /** Serves a route in its own trace. Every response contains the trace's spans, including errors. */
  const route = (method: string, path: string, status: 200 | 201, handler: Handler) => {
    app.on(method, path, async (c) => {
      const { url, raw } = c.req;
      const trace = new RequestTrace({ method, route: path, url: new URL(url), headers: raw.headers }, spanLimits);
      trace.describe({ "valet.sandbox.driver": driver.name });
      const session = SessionId.safeParse(c.req.header(SESSION_HEADER));
      if (session.success) trace.describe(sessionAttributes(session.data));
      try {
        const body = await handler(c, trace);
        const spans = trace.end(status);
        return c.json({ ...body, ...withoutUndefined({ spans }) }, status);
      } catch (error) {
        const problem = toBrokerError(error);
        const about = session.success ? `${session.data}: ` : "";
        return respondWithProblem(problem, trace.end(problem.problem.status), about);
      }
    });
  };

  /** Returns the sandbox that the path names, and adds it to the trace. */
  const find = async (c: Context, steps: Steps) => {
    const id = pathId(c);
    steps.describe({ "valet.sandbox.id": id });
    const found = await driver.get(id);
    if (found !== undefined) {
      const { sessionId, generation } = found.sandbox;
      steps.describe(sessionAttributes(sessionId, generation));
    }
    return { id, sandbox: found?.sandbox };
  };

  app.onError((error) => respondWithProblem(toBrokerError(error)));
  app.notFound(() => respondWithProblem(new BrokerError("not_found")));

  app.get("/v1/health", async (c) => {
    const awake = await driver.countAwake?.();
    const health = {
      status: "ok",
      driver: driver.name,
      ...withoutUndefined({ awake, isolation: driver.isolation, network: driver.network, limits: driver.limits }),
      isDraining: isDraining(),
    } as const;
    return c.json(health satisfies BrokerHealth);
  });

  app.use(async (c, next) => {
    if (!isAuthorised(c.req.header("authorization"))) throw new BrokerError("unauthorized");
    await next();
  });

  route("POST", "/v1/sandboxes", 201, async (c, steps) => {
    const request = parse(CreateSandbox, await readJson(c));
    const { sessionId, generation } = request;
    steps.describe(sessionAttributes(sessionId, generation));
    const sandbox = await withinLimit(c.req.header(LIMIT_HEADER), (limit) => sandboxes.create(request, steps, limit));
    steps.describe({ "valet.sandbox.id": sandbox.id });
    return { sandbox } satisfies SandboxAnswer;
  });

  route("GET", "/v1/sandboxes", 200, async (c, steps) => {
    const { sessionId } = parse(ListQuery, c.req.query());
    steps.describe(sessionAttributes(sessionId));
    const found = await driver.list(sessionId);
    return { sandboxes: found.map(({ sandbox }) => sandbox) } satisfies SandboxList;
  });

  route("GET", "/v1/sandboxes/:id", 200, async (c, steps) => {
    const { sandbox } = await find(c, steps);
    if (sandbox === undefined) throw new BrokerError("not_found");
    return { sandbox } satisfies SandboxAnswer;
  });

  route("POST", "/v1/sandboxes/:id/snapshot", 201, async (c, steps) => {
    const { id } = await find(c, steps);
    const { signal: gone } = c.req.raw;
    const taken = await withinLimit(c.req.header(LIMIT_HEADER), (limit) => driver.snapshot(id, steps, limit));
    if (gone.aborted) {
      // Nobody learns of it, so nobody would ever delete it.
      await driver.deleteSnapshot(taken.snapshotId, steps);
      throw new BrokerError("limit_exceeded", "the caller has gone");
    }
    return taken satisfies SnapshotAnswer;
  });

  route("POST", "/v1/repositories/check", 200, async (c) => {
    const request = parse(CheckRepository, await readJson(c));
    const check = driver.checkRepository?.bind(driver);
    if (check === undefined) throw new BrokerError("not_found");
    const state = await withinLimit(c.req.header(LIMIT_HEADER), (limit) => check(request, limit));
    return { state } satisfies RepositoryAnswer;
  });

  route("DELETE", "/v1/sandboxes/:id", 200, async (c, steps) => {
    const { id } = await find(c, steps);
    const { keeps } = parse(DeleteSandbox, c.req.query());
    const wasThere = await driver.terminate(id, steps);
    if (keeps !== undefined) {
      for (const snapshot of await driver.snapshotsOf(id))
        if (snapshot !== keeps) await driver.deleteSnapshot(snapshot, steps);
    }
    return { alreadyGone: !wasThere } satisfies DeleteAnswer;
  });

  route("DELETE", "/v1/snapshots/:id", 200, async (c, steps) => {
    return { alreadyGone: !(await driver.deleteSnapshot(pathId(c), steps)) } satisfies DeleteAnswer;
  });

  return app;
}

function pathId(c: Context): string {
  const id = BrokerId.safeParse(c.req.param("id"));
  // No sandbox has an id of another form, and no path is built from an unchecked id.
  if (!id.success) throw new BrokerError("not_found");
  return id.data;
}

/** Reads at most the limit, whatever length the caller announced. Nothing is read when the route takes no body. */
async function readJson(c: Context): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of c.req.raw.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_BROKER_REQUEST_BYTES) throw new BrokerError("payload_too_large");
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new BrokerError("invalid_request", "the body is not JSON");
  }
}

function parse<T>(schema: z.ZodType<T>, input: unknown): T {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw new BrokerError("invalid_request", undefined, { errors: fieldErrors(result.error) });
}
