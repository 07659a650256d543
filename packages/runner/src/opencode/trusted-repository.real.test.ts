/** Tests repositories whose configuration of OpenCode counts, since the session trusts them, with the real OpenCode and real files. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { attributesToObject, type ReadableSpan } from "@valet/shared/tracing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  type Config,
  hostile,
  KEY,
  makeWorkspace,
  type Named,
  OTHER_KEYS,
  permissionOf,
  shareBetweenTests,
  start,
  startThief,
  useModel,
} from "../../test/repository-agent.ts";
import { standInForOpenCode } from "../../test/stand-in-opencode.ts";
import { NO_WALL, type Wall } from "../wall/wall.ts";

const model = useModel();

/** An MCP server with a tool that ends it. */
const MCP_SERVER = `
import { createInterface } from "node:readline";
const capabilities = { tools: {} };
const tools = [{ name: "end", description: "Ends the server.", inputSchema: { type: "object", properties: {} } }];
createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (method === "tools/call") process.exit(3);
  const { protocolVersion } = params ?? {};
  const results = {
    initialize: { protocolVersion, capabilities, serverInfo: { name: "docs", version: "1" } },
    "tools/list": { tools },
  };
  if (id !== undefined) console.log(JSON.stringify({ jsonrpc: "2.0", id, result: results[method] ?? {} }));
});
`;

/** Returns a wall in which the real OpenCode starts with the repository's configuration, and a stand-in without it. */
function walledSecond(): Wall {
  const { wall } = standInForOpenCode(onTestFinished);
  return {
    ...wall,
    enter: (command, folder, options) => (options?.mayConfigure ? NO_WALL : wall).enter(command, folder, options),
  };
}

describe("a repository that the session trusts", { timeout: 120_000 }, () => {
  let thief: ReturnType<typeof startThief>;
  let repository: ReturnType<typeof makeWorkspace>;
  let agent: Awaited<ReturnType<typeof start>>;
  shareBetweenTests(async (atEnd) => {
    thief = startThief(atEnd);
    const files = hostile(thief.url);
    const mcp = {
      ...files["opencode.json"].mcp,
      "no-such-command": { type: "local", command: ["/nonexistent"], enabled: true },
      "never-answers": { type: "local", command: ["sleep", "73.25"], timeout: 2000, enabled: true },
      off: { type: "local", command: ["/nonexistent"], enabled: false },
    };
    const changed = {
      ".opencode/package.json": {},
      ".opencode/opencode.jsonc": "{ broken",
      "tsconfig.json": {},
      "opencode.json": { ...files["opencode.json"], mcp },
    };
    repository = makeWorkspace({ ...files, ...changed }, atEnd);
    agent = await start(repository.root, { trustsRepository: true, providerKeys: OTHER_KEYS }, atEnd);
  });

  test("may use plugins and MCP servers, but decides neither where keys are sent nor the permissions", async () => {
    const { root, marks, status } = repository;
    const { get, say, starts } = agent;
    expect(status()).toBe("");
    const config = (await get("/config")) as Config;
    expect(config.provider.valet?.options?.baseURL).toBe(model().url);
    expect(Object.keys(config.provider).sort()).toEqual(["evil", "valet"]);
    expect(config.permission).toEqual({ "*": "allow" });
    expect(config).not.toHaveProperty("small_model");
    expect(JSON.stringify(config.provider.evil)).not.toContain(KEY);
    const agents = (await get("/agent")) as Named[];
    for (const name of ["reviewer", "helper"]) expect(permissionOf(agents, name, "bash")).toBe("allow");
    expect(await say("Hello.")).toMatchObject({ outcome: "ok" });
    expect(marks().sort()).toEqual(["configured-plugin", "mcp", "plugin", "tool"]);
    expect(thief.heard.join()).not.toMatch(/canary/);
    expect(status()).toBe("");
    expect(starts()).toMatchObject([{ "valet.opencode.repository_config": "trusted" }]);
    expect(existsSync(join(root, "workspace/.opencode/node_modules"))).toBe(false);
  });

  test("has its failed MCP servers and its invalid configuration reported", async () => {
    const { spans, warnings } = agent;
    const named = (name: string) => spans.filter((span) => span.name === name).map(describeSpan);
    await vi.waitFor(() => expect(named("valet.agent.mcp_connect")).toHaveLength(4), 60_000);
    expect(named("valet.agent.mcp_connect").toSorted()).toEqual([
      "local error mcp_server_failed",
      "never-answers error mcp_server_failed",
      "no-such-command error mcp_server_failed",
      "remote error mcp_server_failed",
    ]);
    expect(named("valet.runner.repository_config")).toEqual([" error repository_config_invalid"]);
    const all = ["repository_config_invalid", "repository_config_ignored", "mcp_server_failed"];
    expect(new Set(warnings)).toEqual(new Set(all));
  });

  test("has its settings reported that have no effect", () => {
    expect(agent.problems).toContain(
      `these settings of the repository have no effect, since Valet decides them: small_model, permission, model, share, autoupdate, snapshot, permission of agents, provider.valet, provider.anthropic`,
    );
  });

  test("has the MCP servers reported for which the first prompt waits, and those that end later", async () => {
    const mcp = {
      docs: { type: "local", command: [process.execPath, "docs.mjs"] },
      silent: { type: "local", command: ["sleep", "73.5"], timeout: 8000 },
    };
    const { root } = makeWorkspace({ "opencode.json": { mcp }, "docs.mjs": MCP_SERVER });
    const { say, spans, started, warnings, problems } = await start(root, { trustsRepository: true });
    const waits = (of = spans) => of.filter(({ name }) => name === "valet.agent.mcp_wait");
    const answer = say("Hello.");
    await vi.waitFor(() => expect(waits(started)).toHaveLength(1), 20_000);
    expect(started.some(({ name }) => name.startsWith("chat "))).toBe(false);
    expect([waits(), waits(started).map(describeSpan)]).toEqual([[], ["docs, silent undefined undefined"]]);
    expect(await answer).toMatchObject({ outcome: "ok" });
    expect(waits().map(describeSpan)).toEqual(["silent ok undefined"]);
    const prepare = spans.find(({ name }) => name === "valet.agent.prepare");
    expect(waits()[0]?.parent?.spanId).toBe(prepare?.context.spanId);
    expect(warnings).toEqual(["mcp_server_failed"]);
    expect(await say("End the server.")).toMatchObject({ outcome: "ok" });
    await vi.waitFor(() => expect(warnings).toEqual(["mcp_server_failed", "mcp_server_failed"]), 20_000);
    expect(problems).toEqual(["the MCP server docs ended. The agent works without its tools"]);
    expect(waits()).toHaveLength(1);
  });

  test.each([
    ["cannot be read", { "opencode.json": { agent: "no object", plugin: 7 } }, "opencode_unhealthy"],
    ["ends OpenCode", { ".opencode/plugin/p.ts": "process.exit(1);" }, "opencode_died"],
    [
      "never answers",
      { ".opencode/plugin/p.ts": "await new Promise(() => {}); export const P = async () => ({});" },
      "opencode_unhealthy",
    ],
  ])("is started without its configuration, with a warning, if that %s", async (what, files, errorType) => {
    const { root } = makeWorkspace(files);
    // A fifth of it is for the repository's configuration.
    const startTimeoutMs = what === "never answers" ? 30_000 : 90_000;
    // The start without it is always the same, so that only one of them is the real one's.
    const wall = what === "ends OpenCode" ? NO_WALL : walledSecond();
    const { say, problems, warnings, starts } = await start(root, {
      trustsRepository: true,
      startTimeoutMs,
      wall,
    });
    expect(warnings).toEqual(["repository_config_dropped"]);
    if (wall === NO_WALL) expect(await say("Hello.")).toMatchObject({ outcome: "ok" });
    expect(problems).toEqual(["OpenCode did not start with the repository's configuration. It is started without it"]);
    expect(starts()).toMatchObject([
      { "valet.opencode.repository_config": "trusted", "valet.outcome": "error", "error.type": errorType },
      { "valet.opencode.repository_config": "dropped", "valet.outcome": "ok" },
    ]);
  });
});

function describeSpan({ attributes }: ReadableSpan): string {
  const {
    "valet.mcp.server.name": server = "",
    "valet.outcome": outcome,
    "error.type": type,
  } = attributesToObject([...attributes]);
  return `${server} ${outcome} ${type}`;
}
