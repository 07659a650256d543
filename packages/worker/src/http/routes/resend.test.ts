import { Health, ResentSpans, SessionList } from "@valet/shared/protocol/session-api";
import { SessionView } from "@valet/shared/protocol/session-view";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";
import { spansOf } from "../../../test/otlp.ts";
import { upsertSession } from "../../database/sessions.ts";
import { createApp } from "../app.ts";

const OWNER = "own_export";
let token: string;
beforeAll(async () => {
  token = await signIn(OWNER);
});

/** Projects a session with an export problem, or without one. */
async function project(id: string, ownerId: string, exportProblem: SessionView["exportProblem"], version: number) {
  const view = SessionView.parse(await (await call("GET", `/api/sessions/${id}`, { token })).json());
  const { exportProblem: _, ...well } = view;
  const shown = exportProblem === undefined ? well : { ...well, exportProblem };
  await upsertSession(bindings.DB, { ownerId, version, view: shown }).run();
}

const problem = (since: string, waitingSpans: number, reason: string) => ({
  since,
  reason,
  waitingSpans,
  stopped: false,
});

async function health(): Promise<Health> {
  return Health.parse(await (await call("GET", "/api/health")).json());
}

describe("sessions whose spans do not reach the backend", () => {
  test("are counted by health and listed, until their spans arrive", async () => {
    expect((await health()).export).toEqual({ sessions: 0, waitingSpans: 0 });
    const ids = await Promise.all([1, 2, 3].map(async () => (await createSession(token)).id));
    const [first = "", second = "", well = ""] = ids;
    await project(first, OWNER, problem("2026-01-02T00:00:00.000Z", 30, "HTTP 503"), 1_000_001);
    await project(second, OWNER, problem("2026-01-01T00:00:00.000Z", 12, "HTTP 401"), 1_000_001);
    expect((await health()).export).toEqual({
      sessions: 2,
      waitingSpans: 42,
      since: "2026-01-01T00:00:00.000Z",
      reason: "HTTP 401",
    });
    const list = async (query: string) => {
      const response = await call("GET", `/api/sessions${query}`, { token });
      return SessionList.parse(await response.json()).sessions.map(({ id }) => id);
    };
    expect((await list("?exportProblem=true")).toSorted()).toEqual([first, second].toSorted());
    expect(await list("")).toEqual(expect.arrayContaining([first, second, well]));
    expect((await call("GET", "/api/sessions?exportProblem=no", { token })).status).toBe(400);

    await project(first, OWNER, undefined, 1_000_002);
    await project(second, OWNER, undefined, 1_000_002);
    expect((await health()).export).toEqual({ sessions: 0, waitingSpans: 0 });
    expect(await list("?exportProblem=true")).toEqual([]);
  });

  test("are unknown when the database does not answer, and the Worker still serves", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const DB = {
      prepare: () => {
        throw new Error("D1_ERROR: the database is away");
      },
    };
    try {
      const response = await createApp().request("/api/health", {}, { ...bindings, DB });
      expect(Health.parse(await response.json())).toEqual({ status: "ok", database: "unavailable" });
      expect(log).toHaveBeenCalled();
    } finally {
      log.mockRestore();
    }
  });
});

describe("resend", () => {
  test("says when no backend is configured, and leaves no span of its own", async () => {
    const { id } = await createSession(token);
    const response = await call("POST", `/api/sessions/${id}/resend`, { token });
    expect(response.status).toBe(200);
    expect(ResentSpans.parse(await response.json())).toEqual({ exported: false, waitingSpans: 0 });
    const { traces } = (await (await call("GET", `/api/sessions/${id}/traces`, { token })).json()) as {
      traces: { traceId: string }[];
    };
    const read = async (traceId: string) =>
      spansOf(await (await call("GET", `/api/sessions/${id}/traces/${traceId}`, { token })).text());
    const spans = (await Promise.all(traces.map(({ traceId }) => read(traceId)))).flat();
    expect(spans.map(({ name }) => name)).not.toContain("POST /api/sessions/:id/resend");
  });

  test("is for the session's owner only", async () => {
    const { id } = await createSession(token);
    const other = await signIn();
    expect((await call("POST", `/api/sessions/${id}/resend`, { token: other })).status).toBe(404);
    expect((await call("POST", `/api/sessions/${id}/resend`)).status).toBe(401);
  });
});
