import { CONTENT_MAX_BYTES } from "@valet/shared/protocol/captured-content";
import type { ModelAccess } from "@valet/shared/protocol/model-access";
import { DEFAULT_PROVIDER_CONTEXT } from "@valet/shared/protocol/provider-context";
import { DEFAULT_TURN_BOUNDS } from "@valet/shared/protocol/turn";
import { describe, expect, test } from "vitest";
import { inRooms, type Rooms, SESSION_ID } from "../../../test/rooms.ts";
import type { GitCredentials } from "../core/git-credentials.ts";
import type { Operation } from "../core/session-state.ts";
import { RunnerConfig } from "./runner-config.ts";

const ACCESS: ModelAccess = {
  model: "valet/test",
  openAiCompatible: { baseUrl: "http://model.test/v1", apiKey: "endpoint-key" },
  providerKeys: { ANTHROPIC_API_KEY: "provider-key" },
};
const REPO_URL = "https://git.test/a.git";

function configure(rooms: Rooms, opened?: GitCredentials, modelAccess = ACCESS, agentOtlp = false) {
  const opening = Promise.withResolvers<GitCredentials | undefined>();
  let work = Promise.resolve();
  const config = new RunnerConfig({
    ...rooms,
    modelAccess,
    captureContent: false,
    contentMaxBytes: CONTENT_MAX_BYTES,
    providerContext: DEFAULT_PROVIDER_CONTEXT,
    tracing: true,
    stuckTurnMs: 600_000,
    turnBounds: DEFAULT_TURN_BOUNDS,
    agentOtlp,
    credentials: { isEmpty: opened === undefined, openForClone: () => opening.promise },
    background: (promise) => {
      work = promise;
    },
  });
  return {
    send: () => rooms.run(() => config.send()),
    /** The credentials are open. */
    open: async () => {
      opening.resolve(opened);
      await work;
    },
  };
}

const operation = (kind: Operation["kind"]): Operation => ({
  id: "op_1",
  kind,
  step: "booting",
  startedMs: 1,
  context: { traceId: "7".repeat(32), spanId: "8".repeat(16), traceFlags: 1, traceState: "", isRemote: false },
});

test("a runner is sent how to work, and then its repository, once the transaction has committed", () =>
  inRooms((rooms) => {
    const { send } = configure(rooms);
    rooms.change({ repoUrl: REPO_URL, branch: "main", ref: "v1" });
    rooms.run(() => rooms.state.updateLink({ clockOffsetMs: 12 }));
    rooms.run(() => {
      send();
      expect(rooms.frames).toEqual([]);
    });
    expect(rooms.frames).toEqual([
      {
        type: "config",
        sessionId: SESSION_ID,
        generation: 1,
        captureContent: false,
        contentMaxBytes: CONTENT_MAX_BYTES,
        providerContext: DEFAULT_PROVIDER_CONTEXT,
        tracing: true,
        stuckTurnMs: 600_000,
        turnBounds: DEFAULT_TURN_BOUNDS,
        clockOffsetMs: 12,
        modelAccess: { ...ACCESS, openAiCompatible: { ...ACCESS.openAiCompatible, models: [] } },
        takesSpansInEnds: true,
        takesChanges: true,
        acknowledgesSteps: true,
      },
      { type: "repo-config", repoUrl: REPO_URL, branch: "main", ref: "v1" },
    ]);
  }));

test("nothing is sent of a transaction that is rolled back", () =>
  inRooms((rooms) => {
    const { send } = configure(rooms);
    const work = () =>
      rooms.run(() => {
        send();
        throw new Error("no");
      });
    expect(work).toThrow("no");
    expect(rooms.frames).toEqual([]);
  }));

describe("models", () => {
  test("of the deployment's own endpoint that the session asks for are named, with or without its name", () =>
    inRooms((rooms) => {
      const { send } = configure(rooms);
      rooms.change({ model: "small", models: ["valet/large", "anthropic/claude"] });
      send();
      expect(rooms.sent("config")[0]?.modelAccess.openAiCompatible?.models).toEqual(["valet/small", "valet/large"]);
    }));

  test("are named nowhere where there is no such endpoint", () =>
    inRooms((rooms) => {
      const { openAiCompatible: _none, ...access } = ACCESS;
      const { send } = configure(rooms, undefined, access);
      rooms.change({ model: "small" });
      send();
      expect(rooms.sent("config")[0]?.modelAccess).toEqual(access);
    }));
});

test("the repository's own configuration counts only where the session says so", () =>
  inRooms((rooms) => {
    const { send } = configure(rooms);
    for (const trustRepositoryConfig of [undefined, false, true]) {
      rooms.change({ trustRepositoryConfig });
      send();
    }
    const said = rooms.sent("config").map((frame) => frame.trustRepositoryConfig);
    expect(said).toEqual([undefined, undefined, true]);
    expect(rooms.frames[0]).not.toHaveProperty("trustRepositoryConfig");
  }));

test.each([
  [30_000, 30_000],
  [-1, 0],
  [undefined, undefined],
])("with %s ms to the start's deadline a runner is told %s", (leftMs, startMs) =>
  inRooms((rooms) => {
    const { send } = configure(rooms);
    if (leftMs !== undefined) rooms.timers.set("start", rooms.nowMs + leftMs);
    send();
    expect(rooms.sent("config")[0]?.startMs).toBe(startMs);
  }),
);

test.each([
  ["spawn", true],
  ["restore", true],
  ["hibernate", false],
] as const)("during a %s the repository comes with its context: %s", (kind, isStart) =>
  inRooms((rooms) => {
    const { send } = configure(rooms);
    rooms.change({ operation: operation(kind) });
    send();
    const expected = isStart ? `00-${"7".repeat(32)}-${"8".repeat(16)}-01` : undefined;
    expect(rooms.sent("repo-config")[0]?.traceparent).toBe(expected);
  }),
);

describe("secrets", () => {
  const OPENED: GitCredentials = { url: "https://git.test/a.git", username: "ada", password: "git-key" };

  test("of the repository are sent once they are open, after the configuration", () =>
    inRooms(async (rooms) => {
      const { send, open } = configure(rooms, OPENED);
      rooms.change({ repoUrl: REPO_URL });
      send();
      expect(rooms.frames.map(({ type }) => type)).toEqual(["config"]);
      await open();
      expect(rooms.sent("repo-config")).toEqual([
        { type: "repo-config", repoUrl: OPENED.url, credentials: { username: "ada", password: "git-key" } },
      ]);
    }));

  test("that could not be opened keep nobody from the repository", () =>
    inRooms(async (rooms) => {
      const { send, open } = configure(rooms, {});
      rooms.change({ repoUrl: REPO_URL });
      send();
      await open();
      expect(rooms.sent("repo-config")).toEqual([{ type: "repo-config", repoUrl: REPO_URL }]);
    }));

  test("that are half a credential are none", () =>
    inRooms(async (rooms) => {
      const { send, open } = configure(rooms, { username: "ada" });
      send();
      await open();
      expect(rooms.sent("repo-config")).toEqual([{ type: "repo-config" }]);
    }));

  test("that open when their generation is over are sent to nobody", () =>
    inRooms(async (rooms) => {
      const { send, open } = configure(rooms, OPENED);
      send();
      rooms.change({ generation: 2 });
      await open();
      expect(rooms.sent("repo-config")).toEqual([]);
    }));

  test("that the generation has are not sent again, and the runner is told so", () =>
    inRooms((rooms) => {
      const { send } = configure(rooms, OPENED);
      rooms.change({ repoUrl: REPO_URL });
      rooms.run(() => rooms.state.updateLink({ hasSecrets: true }));
      send();
      const [config] = rooms.sent("config");
      expect(config?.hasSecrets).toBe(true);
      expect(config?.modelAccess).toEqual({
        model: "valet/test",
        providerKeys: {},
        openAiCompatible: { baseUrl: "http://model.test/v1", models: [] },
      });
      expect(rooms.sent("repo-config")).toEqual([{ type: "repo-config", repoUrl: REPO_URL }]);
      expect(JSON.stringify(rooms.frames)).not.toMatch(/-key/);
    }));
});

test.each([
  [false, undefined, undefined],
  [true, undefined, true],
  [true, false, undefined],
  [false, true, true],
])("programs of commands send traces if the deployment says %s and the session %s: %s", (deployment, session, sent) =>
  inRooms((rooms) => {
    rooms.change(session === undefined ? {} : { agentOtlp: session });
    configure(rooms, undefined, ACCESS, deployment).send();
    expect(rooms.frames[0]).toMatchObject({ type: "config" });
    expect((rooms.frames[0] as { agentOtlp?: boolean }).agentOtlp).toBe(sent);
  }),
);
