/**
 * Who may import whom. `pnpm lint` runs it (dependency-cruiser); CONTRIBUTING.md, "Who may import whom", says how to read a
 * violation. Imports of types count: a type that two rooms share is knowledge that they share.
 */

/** What each package imports of the workspace. `tests` and `bench` may import everything. */
const PACKAGES = {
  shared: [],
  worker: ["shared"],
  runner: ["shared"],
  sandbox: ["shared"],
  "opencode-plugin": ["shared"],
  /** Runs in browsers. */
  web: ["shared"],
  "scripted-model": [],
  /** It composes: it alone starts the others. */
  cli: ["shared", "worker", "runner", "sandbox", "scripted-model"],
};
/** The scripted model stands in for a paid one in the tests of every package. */
const TESTS_KNOW = ["scripted-model"];

/** What each room of the Worker knows beside itself and `shared`: rooms, or single files of them. */
const OBJECT = "durable-objects";
const ROOMS = {
  // The session's object.
  [`${OBJECT}/core`]: [],
  [`${OBJECT}/queue`]: ["core", "config.ts"],
  [`${OBJECT}/workflow`]: ["core", "queue"],
  [`${OBJECT}/link`]: ["core", "config.ts"],
  [`${OBJECT}/dispatch`]: ["core", "queue", "link", "sandbox", "capacity/capacity-calls.ts", "config.ts"],
  // `capacity` is another object, which hands out the turns to start a sandbox.
  [`${OBJECT}/sandbox`]: ["core", "broker", "capacity/capacity-calls.ts", "capacity/within-call.ts", "config.ts"],
  [`${OBJECT}/changes`]: ["core", "queue", "contract.ts"],
  [`${OBJECT}/conversation`]: ["core", "queue", "workflow", "link/client-sockets.ts", "changes/change-columns.ts"],
  [`${OBJECT}/answers`]: ["core", "queue", "conversation", "database", "config.ts"],
  [`${OBJECT}/credentials`]: ["core", "config.ts"],
  [`${OBJECT}/family`]: ["core", "queue", "contract.ts", "database"],
  [`${OBJECT}/traces`]: ["core"],
  [`${OBJECT}/projection`]: ["core", "database"],
  [`${OBJECT}/notices`]: ["core", "database", "webhooks"],
  [`${OBJECT}/deletion`]: ["core", "database"],
  [`${OBJECT}/capacity`]: ["core", "bindings.ts", "config.ts", "log-failure.ts"],
  // The Worker. It knows the object by its contract and by the plain values of `core`.
  http: [
    "auth",
    "broker",
    "preflight",
    "database",
    "core",
    "webhooks",
    "credentials/credential-keys.ts",
    "link/runner-door.ts",
    "contract.ts",
    "bindings.ts",
    "config.ts",
    "log-failure.ts",
    "public-egress.ts",
    "worker-tracing.ts",
  ],
  upkeep: ["database", "contract.ts", "bindings.ts", "config.ts", "log-failure.ts"],
  auth: ["core", "database"],
  database: ["core"],
  broker: [],
  preflight: ["broker", "bindings.ts", "config.ts", "public-egress.ts"],
  webhooks: ["core", "credentials/credential-keys.ts", "bindings.ts", "config.ts", "public-egress.ts"],
};

/** Each coding agent: its room, what that knows, and the file that starts it, which alone of the others knows it. */
const AGENTS = {
  opencode: {
    knows: ["agent", "files", "processes", "secrets", "spans/tracing.ts", "installed-files.ts", "wall/wall.ts"],
    startedBy: "opencode-agent.ts",
  },
};

/** What each room of the runner knows, likewise. The files beside them compose. */
const RUNNER_ROOMS = {
  // Reading and writing where an agent may exchange any file meanwhile.
  files: [],
  // The port to the coding agent, and what is the same for any agent.
  agent: [],
  ...Object.fromEntries(Object.entries(AGENTS).map(([room, { knows }]) => [room, knows])),
  // Attempts and what they run, whatever the agent is.
  jobs: [
    "agent",
    "files",
    "processes",
    "secrets",
    "spans",
    "state",
    "tools/command-environment.ts",
    "usage/sandbox-usage.ts",
    "usage/blame.ts",
    "wall/wall.ts",
  ],
  changes: ["git", "jobs/job-runner.ts", "secrets", "spans/tracing.ts", "state"],
  git: ["files", "processes", "spans/tracing.ts", "state"],
  link: [],
  spans: ["secrets", "state"],
  state: [],
  secrets: ["state"],
  processes: ["secrets"],
  tools: ["secrets"],
  // The OTLP receiver for what the commands of the agent run.
  receiver: [],
  // What stands between the agent and the machine.
  wall: [],
  // What the agent's processes use, and which limit they hit.
  usage: [],
};

const TEST = "\\.test\\.tsx?$";
const WORKER = "packages/worker/src";
const inObject = Object.keys(ROOMS).flatMap((room) =>
  room.startsWith(`${OBJECT}/`) ? room.slice(OBJECT.length + 1) : [],
);

/** Of a room or a file of the Worker, given as in the tables. */
function pathOf(name) {
  const isObjects = name === "contract.ts" || inObject.includes(name.split("/")[0]);
  const path = `${WORKER}/${isObjects ? `${OBJECT}/` : ""}${name}`;
  return `^${path.replaceAll(".", "\\.")}${name.endsWith(".ts") ? "$" : "/"}`;
}

const RUNNER = "packages/runner/src";
/** Of a room or a file of the runner. */
const runnerPath = (name) => `^${RUNNER}/${name.replaceAll(".", "\\.")}${name.endsWith(".ts") ? "$" : "/"}`;

const packageRules = Object.entries(PACKAGES).map(([name, known]) => ({
  name: `package-${name}`,
  comment: `${name} imports ${known.join(", ") || "nothing"} of the workspace.`,
  severity: "error",
  from: { path: `^packages/${name}/` },
  to: {
    path: "^(packages|bench|tests|scripts)/",
    pathNot: [name, ...known, ...TESTS_KNOW].map((one) => `^packages/${one}/`),
  },
}));

const roomRules = Object.entries(ROOMS).map(([room, known]) => {
  const name = room.replace(`${OBJECT}/`, "");
  const allowed = [name, ...known];
  return {
    name: `room-${name}`,
    comment: `${name} knows ${known.join(", ") || "nobody"}.`,
    severity: "error",
    from: { path: pathOf(name), pathNot: TEST },
    to: { path: `^${WORKER}/`, pathNot: allowed.map(pathOf) },
  };
});

const runnerRules = Object.entries(RUNNER_ROOMS).map(([room, known]) => ({
  name: `runner-${room}`,
  comment: `The runner's ${room} knows ${known.join(", ") || "nobody"}.`,
  severity: "error",
  from: { path: runnerPath(room), pathNot: TEST },
  to: { path: `^${RUNNER}/`, pathNot: [room, ...known].map(runnerPath) },
}));

const agentRules = Object.entries(AGENTS).map(([room, { startedBy }]) => ({
  name: "agent-behind-its-port",
  comment: `Beside ${startedBy}, the runner knows ${room} by the port (agent/agent.ts).`,
  severity: "error",
  from: { path: `^${RUNNER}/[^/]+$`, pathNot: [TEST, runnerPath(startedBy)] },
  to: { path: runnerPath(room) },
}));

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    ...packageRules,
    ...roomRules,
    ...runnerRules,
    ...agentRules,
    {
      name: "in-a-table",
      comment: "A new package and a new room of the Worker or the runner have a row in this file's tables.",
      severity: "error",
      from: {
        path: `^packages/[^/]+/|^(${WORKER}|${RUNNER})/[^/]+/[^/]+/`,
        pathNot: [
          ...Object.keys(PACKAGES)
            .filter((name) => name !== "worker" && name !== "runner")
            .map((name) => `^packages/${name}/`),
          "^packages/(worker|runner)/(?!src/[^/]+/)",
          `^${RUNNER}/(${Object.keys(RUNNER_ROOMS).join("|")})/`,
          `^${WORKER}/(${Object.keys(ROOMS).join("|")})/`,
          `^${WORKER}/${OBJECT}/[^/]+$`,
        ],
      },
      to: {},
    },
    {
      name: "only-tests-use-the-scripted-model",
      comment: "What is shipped knows no stand-in of a test.",
      severity: "error",
      from: { path: "^packages/(shared|worker|runner|sandbox|opencode-plugin)/src/", pathNot: TEST },
      to: { path: "^packages/scripted-model/" },
    },
    {
      name: "tracing-stands-alone",
      comment: "The tracer imports nothing but itself.",
      severity: "error",
      from: { path: "^packages/shared/src/tracing/", pathNot: TEST },
      to: { pathNot: "^packages/shared/src/tracing/" },
    },
    {
      name: "catalogue-stands-alone",
      comment: "The span catalogue imports nothing but itself.",
      severity: "error",
      from: { path: "^packages/shared/src/spans(/|\\.ts$)", pathNot: TEST },
      to: { pathNot: "^packages/shared/src/spans(/|\\.ts$)" },
    },
    {
      name: "mcp-is-loaded-late",
      comment: "Other commands start without the MCP SDK: `valet mcp` imports its server when it runs.",
      severity: "error",
      from: { path: "^packages/cli/src/", pathNot: "^packages/cli/src/mcp/" },
      to: { path: "^packages/cli/src/mcp/|/@modelcontextprotocol/", dynamic: false },
    },
    {
      name: "page-alone",
      comment: "A page of the explorer knows no other page: what two pages need belongs into another folder of `web`.",
      severity: "error",
      from: { path: "^packages/web/src/pages/([^/]+)/" },
      to: { path: "^packages/web/src/pages/", pathNot: "^packages/web/src/pages/$1/" },
    },
    {
      name: "parts-below-pages",
      comment: "What all pages of the explorer use knows none of them, nor the app around them.",
      severity: "error",
      from: { path: "^packages/web/src/(api|ui|format)/" },
      to: { path: "^packages/web/src/(app|pages)/" },
    },
    {
      name: "no-circle",
      comment: "What imports each other is one thing in two files, types included.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "resolvable",
      // A program of an agent's repository is bundled with the packages of the benchmarks.
      comment: "An import leads to a file, or to a package that is installed.",
      severity: "error",
      from: { pathNot: "^tests/agent-otlp/suite\\.mjs$" },
      to: { couldNotResolve: true, pathNot: "^(cloudflare:|bun$)" },
    },
    {
      name: "declared",
      comment: "A package imports what its own package.json names.",
      severity: "error",
      from: {},
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "shipped",
      comment: "What runs outside tests is no dependency of development.",
      severity: "error",
      from: { path: "^packages/[^/]+/src/", pathNot: TEST },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["type-only"] },
    },
  ],
  options: {
    // TypeScript 7 has no API to read imports with.
    parser: "swc",
    doNotFollow: { path: "node_modules" },
    // The first imports what its test generates; the second is generated.
    exclude: { path: "^tests/generated-client|^packages/web/dist/" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default"],
      extensions: [".ts", ".tsx", ".d.ts"],
    },
  },
};
