/** What OpenCode's start does with the wall around it and with the folders that the agent may have changed. */
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROVIDER_KEYS } from "@valet/shared/protocol/model-access";
import type { ValetSpans } from "@valet/shared/spans";
import { attributesToObject, INVALID_CONTEXT, type ReadableSpan, Tracer } from "@valet/shared/tracing";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { startErrorType } from "../agent/errors.ts";
import { NO_WALL, WallError } from "../wall/wall.ts";
import { ConfigFolder } from "./config-folder.ts";
import { OpenCode } from "./opencode.ts";

test("a wall that cannot be built fails the start, which says what prevents it", async () => {
  const ended: ReadableSpan[] = [];
  const problems: string[] = [];
  const opencode = new OpenCode({
    workspace: temporaryFolder(),
    stateFolder: temporaryFolder(),
    modelAccess: { model: "valet/m", providerKeys: {} },
    wall: { ...NO_WALL, enter: () => Promise.reject(new WallError("bwrap: No permission to create a namespace")) },
    tracer: new Tracer<ValetSpans>({
      scope: { name: "test" },
      processor: { onStart: () => {}, onEnd: (span) => void ended.push(span) },
    }),
    onProblem: (problem) => problems.push(problem),
  });
  const failure = await opencode.ready(INVALID_CONTEXT).catch((error: unknown) => error);
  expect(startErrorType(failure)).toBe("wall_failed");
  expect(ended.map(({ name, attributes }) => [name, attributesToObject([...attributes])["error.type"]])).toEqual([
    ["valet.runner.opencode_start", "wall_failed"],
  ]);
  expect(problems).toEqual(["the wall around OpenCode cannot be built: bwrap: No permission to create a namespace"]);
});

test("a wall whose network cannot be connected fails the start, although it ends OpenCode, too", async () => {
  const problems: string[] = [];
  const ended = Promise.withResolvers<never>();
  const opencode = new OpenCode({
    workspace: temporaryFolder(),
    stateFolder: temporaryFolder(),
    modelAccess: { model: "valet/m", openAiCompatible: { baseUrl: "http://127.0.0.1:9/" }, providerKeys: {} },
    env: {},
    wall: {
      ...NO_WALL,
      enter: async (_command, _folder, options) => {
        expect(options?.beforeNetwork).toBe(true);
        return { command: ["/bin/sh", "-c", "exit 1"], cwd: "/" };
      },
      connected: () => Promise.reject(new WallError("the network cannot be connected: slirp4netns ended")),
      reach: () => ended.promise,
    },
    tracer: new Tracer<ValetSpans>({ scope: { name: "test" }, processor: { onStart: () => {}, onEnd: () => {} } }),
    onProblem: (problem) => problems.push(problem),
  });
  const failure = await opencode.ready(INVALID_CONTEXT).catch((error: unknown) => error);
  expect(startErrorType(failure)).toBe("wall_failed");
  expect(problems).toEqual([
    "the wall around OpenCode cannot be built: the network cannot be connected: slirp4netns ended",
  ]);
});

test("a start in which a limit of the sandbox killed OpenCode fails for that limit, and not for its health", async () => {
  const ended: ReadableSpan[] = [];
  const opencode = new OpenCode({
    workspace: temporaryFolder(),
    stateFolder: temporaryFolder(),
    modelAccess: { model: "valet/m", providerKeys: {} },
    wall: { ...NO_WALL, enter: async () => ({ command: ["/bin/sh", "-c", "kill -KILL $$"], cwd: "/" }) },
    limitHit: (wasKilled) => (wasKilled ? "sandbox_out_of_memory" : undefined),
    tracer: new Tracer<ValetSpans>({
      scope: { name: "test" },
      processor: { onStart: () => {}, onEnd: (span) => void ended.push(span) },
    }),
  });
  const failure = await opencode.ready(INVALID_CONTEXT).catch((error: unknown) => error);
  expect(startErrorType(failure)).toBe("sandbox_out_of_memory");
  expect(ended.map(({ attributes }) => attributesToObject([...attributes])["error.type"])).toEqual([
    "sandbox_out_of_memory",
  ]);
});

test.each([
  ["knows a catalogue of providers", { ANTHROPIC_API_KEY: "x" }, false],
  ["may install what a trusted repository's plugins need", {}, true],
])("an OpenCode that %s waits for its network", async (_what, providerKeys, trustsRepository) => {
  const asked: unknown[] = [];
  const opencode = new OpenCode({
    workspace: temporaryFolder(),
    stateFolder: temporaryFolder(),
    modelAccess: { model: "valet/m", openAiCompatible: { baseUrl: "http://127.0.0.1:9/" }, providerKeys },
    env: {},
    trustsRepository,
    wall: {
      ...NO_WALL,
      enter: (_command, _folder, options) => {
        asked.push(options?.beforeNetwork);
        return Promise.reject(new WallError("not here"));
      },
    },
    tracer: new Tracer<ValetSpans>({ scope: { name: "test" }, processor: { onStart: () => {}, onEnd: () => {} } }),
  });
  await opencode.ready(INVALID_CONTEXT).catch(() => undefined);
  expect(asked).toEqual([false]);
});

test("links that an agent has left where OpenCode's configuration belongs lead the runner nowhere", () => {
  const state = temporaryFolder();
  const outside = temporaryFolder();
  writeFileSync(join(outside, "AGENTS.md"), "---\npermission: allow\n---\nkept");
  const folder = new ConfigFolder(state);
  folder.clear();
  const configuration = join(state, "opencode");
  const workspace = temporaryFolder();
  mkdirSync(join(workspace, ".opencode"));
  symlinkSync(outside, join(workspace, ".opencode", "agent"));
  const write = () => folder.write({ workspace, isTrusted: true, secretVariables: [...PROVIDER_KEYS], overridden: [] });
  for (const name of ["package-lock.json", "node_modules", ".gitignore", "opencode.json", "repository"]) {
    const path = name === "repository" ? join(configuration, name) : join(configuration, "repository", name);
    folder.clear();
    rmSync(path, { recursive: true, force: true });
    symlinkSync(name === "repository" ? outside : join(outside, name), path);
    expect(write().problems).toEqual([]);
    expect(readdirSync(outside)).toEqual(["AGENTS.md"]);
  }
  expect(readFileSync(join(outside, "AGENTS.md"), "utf8")).toContain("permission");
});
