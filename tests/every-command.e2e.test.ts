/** What holds for every command and sub-command. They are found in the program itself, so that a new one is tested, too. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createProgram } from "../packages/cli/src/program.ts";
import { runInProcess as run } from "./run-in-process.ts";
import { type CommandResult, endUp, runCli, startUp, type UpProcess } from "./valet-up.ts";

type Command = ReturnType<typeof createProgram>;

const scratch = mkdtempSync(join(tmpdir(), "valet-commands-"));
const NO_SUCH = { session: "ses_00000000000000000000000000", id: "msg_00000000000000000000000000" };
const VALUES: Readonly<Record<string, string>> = {
  ...NO_SUCH,
  content: "Hello.",
  file: join(scratch, "steps.json"),
  token: "tok_none",
  webhook: "wh_00000000000000000000000000",
  url: "https://hooks.example.com/valet",
};

interface Listed {
  readonly path: string;
  readonly command: Command;
  /** A value for each required argument. */
  readonly values: readonly string[];
}

function listed(command: Command, path: readonly string[] = []): Listed[] {
  return command.commands.flatMap((each) => {
    const words = [...path, each.name()];
    const values = each.registeredArguments.filter(({ required }) => required).map((arg) => VALUES[arg.name()] ?? "x");
    return [{ path: words.join(" "), command: each, values }, ...listed(each, words)];
  });
}

const all = listed(createProgram());
const each = all.map((one) => [one.path, one] as const);
const runnable = all.filter(({ command }) => command.commands.length === 0);
/** These run without a system: they start one, check for one, or wait for one. */
const WITHOUT_SYSTEM = new Set(["up", "demo", "doctor", "image build", "mcp"]);

/** @throws if a text has a stack of a program error or an escape sequence */
function expectPlain({ stdout, stderr }: CommandResult): void {
  expect(stdout + stderr).not.toMatch(/\n {4}at |internal error/);
  expect(stdout + stderr).not.toContain("\u001b");
}

/** Runs a command that fails, for people and for scripts. @returns the error */
async function expectFailure(code: number, args: readonly string[]): Promise<{ type: string; message: string }> {
  const plain = await run(...args);
  expectPlain(plain);
  expect(plain, args.join(" ")).toMatchObject({
    code,
    stdout: "",
    stderr: expect.stringMatching(/^(?:valet|error): \S/),
  });
  const json = await run(...args, "--json");
  expect({ code: json.code, stderr: json.stderr }, args.join(" ")).toEqual({ code, stderr: "" });
  const { error } = JSON.parse(json.stdout);
  expect(error).toEqual({ type: expect.stringMatching(/^[a-z-]+$/), message: expect.stringMatching(/\S/) });
  return error;
}

beforeAll(() => writeFileSync(join(scratch, "steps.json"), '{"name": "n", "steps": [{"name": "s", "run": "true"}]}'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
afterEach(() => {
  process.exitCode = undefined;
});

describe("help", () => {
  /** Returns the arguments of the examples in a help text. */
  function examplesIn(help: string): string[][] {
    const [, examples = ""] = help.split(/^Examples?\b.*:$/m);
    return examples.split("\n").flatMap((line) => {
      const [, text] = /^(?:.*\s)?valet (.*)$/.exec(line.trim().split(/ {2,}#?|\s[|&]+\s/)[0] ?? "") ?? [];
      return text === undefined
        ? []
        : [(text.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^"(.*)"$/, "$1"))];
    });
  }

  /** Returns the path of the command that the arguments run. @throws if they cannot be parsed */
  async function commandOf(args: readonly string[]): Promise<string | undefined> {
    const program = createProgram(true);
    let ran: string | undefined;
    for (const { path, command } of listed(program)) {
      const remember = () => {
        ran = path;
      };
      if (command.commands.length === 0) command.action(remember);
    }
    await program.parseAsync([...args], { from: "user" });
    return ran;
  }

  test.each(each)("of %s: what it does, its exit codes, and an example that runs it", async (path) => {
    const { code, stdout, stderr } = await run(...path.split(" "), "--help");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).not.toContain("\u001b");
    expect(stdout).toMatch(new RegExp(`^Usage: valet ${path}\\b`));
    expect(stdout).toContain("--json");
    expect(stdout).toMatch(/^Exit codes: 0 [\s\S]*; 2 usage or environment error[.;]/m);
    const examples = examplesIn(stdout);
    expect(examples.length).toBeGreaterThan(0);
    for (const args of examples) expect(await commandOf(args), args.join(" ")).toMatch(new RegExp(`^${path}\\b`));
  });
});

describe("used wrongly, a command ends with 2 and says how it is used", () => {
  test.each(each)("%s", async (path, { command, values }) => {
    const words = path.split(" ");
    const isGroup = command.commands.length > 0;
    const cases = [
      [...words, ...(isGroup ? ["no-such"] : [...values, "--no-such"])],
      ...(values.length > 0 ? [words] : []),
      ...(isGroup || command.registeredArguments.some(({ variadic }) => variadic)
        ? []
        : [[...words, ...command.registeredArguments.map(() => "x"), "one-more"]]),
    ];
    for (const args of cases) expect(await expectFailure(2, args)).toMatchObject({ type: "usage" });
    if (isGroup) expect(JSON.parse((await run(...words, "--json")).stdout)).toMatchObject({ error: { type: "usage" } });
  });
});

test("up refuses an isolation that containers would ignore", async () => {
  for (const isolation of ["bwrap", "none"]) {
    const error = await expectFailure(2, ["up", "--driver", "docker", "--isolation", isolation]);
    expect(error).toMatchObject({ type: "usage", message: expect.stringContaining("--driver local") });
  }
});

describe("without a system, a command ends with 2 and says how to start or name one", () => {
  const needing = runnable.filter(({ path }) => !WITHOUT_SYSTEM.has(path)).map((one) => [one.path, one] as const);

  test.each(needing)("%s", async (path, { values }) => {
    const args = [...path.split(" "), ...values, ...(path === "resend" ? ["--all"] : [])];
    const none = await expectFailure(2, [...args, "--state", join(scratch, "none")]);
    expect(none.message).toMatch(/Nothing runs on .*valet up/);
    const gone = await expectFailure(2, [...args, "--url", "http://127.0.0.1:9", "--token", "x"]);
    expect(gone).toMatchObject({ type: "no-answer", message: expect.stringContaining("valet up") });
  });
});

describe("with a system", () => {
  let up: UpProcess;
  let state: string;
  let known: Readonly<Record<"S" | "M" | "T" | "W" | "K", string>>;

  beforeAll(async () => {
    state = join(scratch, "state");
    up = await startUp(state);
    const { id: S } = await up.api.createSession({});
    const { stdout } = await runCli(["--state", state, "prompt", "--session", S, "Hello.", "--json"]);
    const { id: M, traceId: T } = JSON.parse(stdout).message;
    const added = await run("--state", state, "webhooks", "add", VALUES.url ?? "", "--json");
    const { id: K } = JSON.parse((await run("--state", state, "token", "create", "spare", "--json")).stdout);
    known = { S, M, T, W: JSON.parse(added.stdout).id, K };
  }, 120_000);
  afterAll(() => endUp(up));

  /** Not run here: what they start takes long, and other tests run them. */
  const ELSEWHERE: Readonly<Record<string, string>> = {
    up: "beforeAll",
    demo: "session.e2e.test.ts",
    smoke: "smoke.test.ts",
    mcp: "mcp.e2e.test.ts",
    "image build": "packages/sandbox/src/docker/build-image.test.ts",
  };

  /** The arguments of each command in this order, and its exit code where it is not 0. S, M, T, W, K stand for ids. */
  const COMMANDS: readonly (readonly [args: string, code?: number])[] = [
    ["status"],
    ["status S"],
    ["open"],
    ["attention"],
    ["messages S"],
    ["messages S M"],
    ["queue S"],
    ["sessions"],
    ["sessions --search hello"],
    ["sessions S"],
    ["why S"],
    ["why M"],
    ["turns"],
    ["turns S"],
    ["turns --stats"],
    ["trace S"],
    ["trace S T"],
    ["verify S"],
    // The session has no repository, so what it changed is unknown.
    ["diff S", 1],
    ["export S FOLDER"],
    ["prompt --session S Hello."],
    ["prompt --session S Hello. --no-wait"],
    ["workflow S STEPS"],
    ["reply S per_1 once", 2],
    ["abort S"],
    ["clear S"],
    ["resend S", 2],
    ["webhooks list"],
    ["webhooks add https://hooks.example.com/other"],
    ["webhooks enable W"],
    ["webhooks rotate W"],
    // Nothing answers at its address.
    ["webhooks test W", 1],
    ["webhooks remove W"],
    ["token create other --expires 1h"],
    ["token list"],
    ["token revoke K"],
    ["doctor"],
    ["hibernate S"],
    ["wake S"],
    ["terminate S --yes"],
    // Its session has ended.
    ["watch S"],
    ["delete S --yes"],
  ];

  test("every command is run here or elsewhere", () => {
    const run = COMMANDS.map(([args]) => runnable.find(({ path }) => `${args} `.startsWith(`${path} `))?.path);
    expect([...new Set([...run, ...Object.keys(ELSEWHERE)])].toSorted()).toEqual(
      runnable.map(({ path }) => path).toSorted(),
    );
  });

  test("prints JSON with --json, exits with a documented code, and writes no escape sequences to a pipe", async () => {
    for (const [text, code = 0] of COMMANDS) {
      const ids: Record<string, string> = { ...known, FOLDER: join(scratch, "exported"), STEPS: VALUES.file ?? "" };
      const args = ["--state", state, ...text.split(" ").map((word) => ids[word] ?? word), "--json"];
      // It ends its process.
      const result = text.startsWith("watch") ? await runCli(args) : await run(...args);
      expectPlain(result);
      expect(result.code, `${text}\n${result.stdout}${result.stderr}`).toBe(code);
      expect(() => JSON.parse(result.stdout), `${text}\n${result.stdout}`).not.toThrow();
      if (code === 2) expect(JSON.parse(result.stdout)).toEqual({ error: expect.anything() });
    }
  }, 180_000);

  test("an unknown id gives exit code 2 and an error message", async () => {
    const named = runnable.filter(
      ({ path, command }) =>
        !WITHOUT_SYSTEM.has(path) &&
        command.registeredArguments.some((arg) => /^(?:session|id|token|webhook)$/.test(arg.name())),
    );
    expect(named.length).toBeGreaterThan(20);
    for (const { path, command } of named) {
      const values = command.registeredArguments
        .filter((arg) => arg.required || arg.name() === "session")
        .map((arg) => VALUES[arg.name()] ?? "x");
      const error = await expectFailure(2, ["--state", state, ...path.split(" "), ...values]);
      expect(error.message, path).toMatch(/No |no /);
    }
    await expectFailure(2, ["--state", state, "prompt", "--session", NO_SUCH.session, "Hello."]);
  }, 120_000);
});
