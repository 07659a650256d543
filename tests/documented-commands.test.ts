// Every command that the documents show is run, or is on a list that says why it cannot be run here and what is checked instead.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { makeDemoRepository } from "../packages/cli/src/demo/demo-repository.ts";
import {
  commandsIn,
  type DocumentedCommand,
  inlineCommands,
  shellBlocks,
  withoutPlaceholders,
} from "./documented-commands.ts";
import { runInProcess } from "./run-in-process.ts";
import { CLI, endUp, runCli, startUp, type UpProcess } from "./valet-up.ts";

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, "..");
const UNITS = readdirSync(join(ROOT, "docs/systemd"));
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const documents = ["README.md", "CONTRIBUTING.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)];
const texts = documents.filter((path) => path.endsWith(".md")).map((path) => [path, read(path)] as const);
const blocks = texts.flatMap(([path, text]) => shellBlocks(text).map((block) => ({ path, ...block })));
const commands = [
  ...blocks.flatMap(({ text }) => commandsIn(text)),
  ...texts.flatMap(([, text]) => inlineCommands(text)),
];

const scratch = mkdtempSync(join(tmpdir(), "valet-documented-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));

/** Commands that nothing here can run as they stand: why, and what is checked instead. All of them are read by `bash -n`. */
const NOT_RUN: readonly (readonly [RegExp, string])[] = [
  [/^export |^pnpm\(\)|^\w+=\S+$/, "sets something in the reader's shell"],
  [/^cd /, "`isThere` looks for the folder"],
  [/^caddy /, "a proxy that is not installed here"],
  [/^claude mcp add /, "another program, which is not installed here; `valet mcp` is tested with a client of its own"],
  [/^docker /, "needs Docker's daemon; the file that is built is looked for"],
  [/^\.\/jaeger /, "a program that is built elsewhere"],
  [/^git clone </, "the address is the reader's"],
  [/^(?:useradd|install|cp|systemctl|journalctl) /, "needs root and systemd; `systemd-analyze verify` reads the units"],
  [/^echo VALET_BROKER_SECRET=/, "writes the file of the unit, which needs root"],
  [/^du /, "of a folder that only a deployment has"],
  [/^curl .*<you>|^curl .*broker\.example\.com/, "asks a deployment; the same is asked of a broker and a Worker below"],
];

const isValet = ({ words }: DocumentedCommand) => valetArguments(words) !== undefined;

/** Returns what follows `valet` in a command; `undefined` for other commands. */
function valetArguments(words: readonly string[]): readonly string[] | undefined {
  if (words[0] === "valet") return words.slice(1);
  if (words[0] === "pnpm" && words[1] === "valet") return words.slice(2);
  if (words[1]?.endsWith("/packages/cli/src/bin.ts")) return words.slice(2);
  return undefined;
}

const isNotRun = ({ words }: DocumentedCommand) => NOT_RUN.some(([pattern]) => pattern.test(words.join(" ")));
const isBroker = ({ words }: DocumentedCommand) => words[1]?.endsWith("packages/sandbox/src/bin.ts") === true;
/** The commands that a test below runs. */
const isRun = ({ words }: DocumentedCommand) =>
  /^openssl rand |^cp -a \.valet |^curl .*127\.0\.0\.1/.test(words.join(" ")) || words.length === 0;

test("the commands are found, and each is of a kind that is run or checked", () => {
  expect(commands.length).toBeGreaterThan(80);
  const unknown = commands.filter(
    (each) =>
      !isValet(each) &&
      !isBroker(each) &&
      each.words[0] !== "pnpm" &&
      each.words[0] !== "wrangler" &&
      each.words[0] !== "npx",
  );
  expect(unknown.filter((each) => !isNotRun(each) && !isRun(each)).map(({ text }) => text)).toEqual([]);
});

test.each(UNITS)("%s lets the broker make walls, networks and control groups", (name) => {
  const unit = read(`docs/systemd/${name}`);
  expect(unit).toMatch(/^Delegate=yes$/m);
  expect(unit).toMatch(/^DeviceAllow=\/dev\/net\/tun rw$/m);
  // Each is known to prevent one of them.
  const harmful =
    /^(?:PrivateDevices|PrivateUsers|ProcSubset|ProtectProc|ProtectHostname|ProtectControlGroups|ProtectKernelLogs|ProtectKernelTunables|RestrictNamespaces)=/m;
  expect(unit).not.toMatch(harmful);
});

test.each(blocks)("$path:$line is a script that a shell can read", async ({ text }) => {
  const child = run("bash", ["-n"]);
  child.child.stdin?.end(withoutPlaceholders(text));
  await child;
});

test.each(NOT_RUN)("the exception %s is still needed", (pattern) => {
  expect(commands.some(({ words }) => pattern.test(words.join(" ")))).toBe(true);
});

test("folders and files in them exist", () => {
  const named = commands.flatMap(({ words }) => [
    ...(words[0] === "cd" && !words[1]?.startsWith("/") ? [words[1] ?? ""] : []),
    ...words.filter((word) => /^packages\/.*\.ts$|^packages\/.*Dockerfile$/.test(word)),
    ...words
      .filter((word) => /^(?:\/opt\/valet|\$PWD)\/(?!node_modules)/.test(word))
      .map((word) => word.replace(/^\/opt\/valet\/|^\$PWD\//, "")),
  ]);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

describe("pnpm", () => {
  const scriptsOf = (folder: string): Record<string, string> => JSON.parse(read(join(folder, "package.json"))).scripts;
  const folderOf = (name: string) => (name === "@valet/worker" ? "packages/worker" : `packages/${name.split("/")[1]}`);
  const ofPnpm = commands.filter((each) => each.words[0] === "pnpm" && !isValet(each) && each.words.length > 1);

  test("is defined before a document uses it where it may not be installed", () => {
    for (const [path, text] of texts.filter(([path]) => path !== "docs/benchmarks.md")) {
      const [first = "", ...rest] = text.split("pnpm() {");
      expect(rest.length, path).toBeGreaterThanOrEqual(/^pnpm /m.test(text) ? 1 : 0);
      expect(first.match(/^pnpm /m)?.[0], path).toBeUndefined();
    }
  });

  test.each(ofPnpm.map((each) => [each.text, each.words] as const))("%s", (_text, words) => {
    const args = words.slice(1);
    const filter = args[0] === "--filter" ? args[1] : undefined;
    const [verb = "", next = ""] = filter === undefined ? args : args.slice(2);
    if (["install", "exec"].includes(verb)) return;
    const script = verb === "run" ? next : verb;
    const folder = filter === undefined ? (script.startsWith("deploy") ? "packages/worker" : ".") : folderOf(filter);
    expect(Object.keys(scriptsOf(folder))).toContain(script);
  });

  test("scripts of Node are run: a token and its SQL", async () => {
    const [command] = ofPnpm.filter(({ words }) => words.includes("scripts/make-token.ts"));
    const { stdout } = await run(process.execPath, command?.words.slice(3) ?? [], {
      cwd: join(ROOT, "packages/worker"),
    });
    expect(stdout).toMatch(/^token: vlt_\S+\nsql: {3}INSERT INTO tokens /);
  });
});

test("wrangler knows each command and option", async () => {
  const wrangler = commands
    .map(({ words }) => words.slice(words.indexOf("wrangler")))
    .filter((words) => words[0] === "wrangler" && words.length > 1);
  const helps = new Map<string, Promise<string>>();
  const help = (verb: readonly string[]) => {
    const key = verb.join(" ");
    const asked = helps.get(key) ?? askWrangler(verb);
    helps.set(key, asked);
    return asked;
  };
  const verbOf = (args: readonly string[]) => args.slice(0, args[0] === "d1" || args[0] === "secret" ? 2 : 1);
  for (const [, ...args] of wrangler) {
    const verb = verbOf(args);
    const options = args.filter((word) => word.startsWith("--"));
    // Without options, the list of which it is part suffices.
    const text = await help(options.length > 0 ? verb : verb.slice(0, -1));
    expect(text, args.join(" ")).toMatch(new RegExp(`\\bwrangler ${verb.join(" ")}\\b`));
    for (const option of options) expect(text).toContain(option);
  }
}, 60_000);

async function askWrangler(verb: readonly string[]): Promise<string> {
  const wrangler = join(ROOT, "packages/worker/node_modules/wrangler/bin/wrangler.js");
  const env = { ...process.env, CI: "true", WRANGLER_SEND_METRICS: "false", WRANGLER_LOG_PATH: scratch };
  return (await run(process.execPath, [wrangler, ...verb, "--help"], { cwd: scratch, env })).stdout;
}

describe("valet", () => {
  const [, section = ""] = read("README.md").split("## Your model, your repository\n");
  const [ofUsers = ""] = section.split(/^## /m);
  /** The arguments of the commands that the README shows to a user, in its order. */
  const steps = shellBlocks(ofUsers)
    .flatMap(({ text }) => commandsIn(text))
    .map(({ words }) => valetArguments(words))
    .filter((args) => args !== undefined);
  const ofValet = commands
    .map(({ text, words }) => ({ text, args: valetArguments(words) ?? [] }))
    .filter(({ args }) => args.length > 0);
  const helps = new Map<string, Promise<string>>();
  const help = (command: string) => {
    const asked = helps.get(command) ?? runInProcess(command, "--help").then(({ stdout }) => stdout);
    helps.set(command, asked);
    return asked;
  };
  const named = (args: readonly string[]) => args[args[0] === "--state" ? 2 : 0] ?? "";

  test("knows each command that no test below runs, and each option", async () => {
    const isShown = (args: readonly string[]) => steps.some(([step]) => step === named(args));
    const asked = ofValet.filter(({ args }) => !isShown(args) || args.some((word) => word.startsWith("--")));
    expect(asked.length).toBeGreaterThan(5);
    for (const { text, args } of asked) {
      const known = await help(named(args));
      expect(known, text).toContain(`Usage: valet ${named(args)}`);
      const options = args.filter((word) => word.startsWith("--"));
      expect(
        options.filter((option) => !known.includes(option)),
        text,
      ).toEqual([]);
    }
  }, 60_000);

  describe("does what the README shows, in its order", () => {
    let up: UpProcess;
    let folder: string;
    const values: Record<string, string> = {};

    beforeAll(async () => {
      const repository = await makeDemoRepository();
      folder = repository.folder;
      writeFileSync(
        join(scratch, "steps.json"),
        JSON.stringify({ name: "release", steps: [{ name: "test", run: "true" }] }),
      );
      up = await startUp(join(scratch, "state"));
      Object.assign(values, {
        "https://github.com/you/project": repository.url,
        "What does this project do?": "Make the failing test pass.",
        "steps.json": join(scratch, "steps.json"),
        "[folder]": join(scratch, "exported"),
      });
    }, 60_000);
    afterAll(async () => {
      await endUp(up);
      rmSync(folder, { recursive: true, force: true });
    });

    test("all of it", async () => {
      expect(steps.length).toBeGreaterThan(25);
      expect(steps[0]).toEqual(["up"]);
      for (const args of steps.slice(1)) {
        const given = args.map((word) => values[word] ?? word);
        const more = ["delete", "terminate"].includes(args[0] ?? "") ? ["--yes"] : [];
        const all = ["--state", join(scratch, "state"), ...given, ...more];
        const isWatch = args[0] === "watch";
        // It shows a living session until somebody stops it.
        const onSpawn = (child: ChildProcess) => child.stdout?.once("data", () => child.kill("SIGINT"));
        const { code, stdout, stderr } = await (isWatch ? runCli(all, { onSpawn }) : runInProcess(...all));
        const text = `${args.join(" ")}\n${stdout}${stderr}`;
        if (args[0] === "resend") {
          // This test has no backend.
          expect([code, stderr], text).toEqual([2, expect.stringContaining("exports no spans")]);
        } else if (args[0] === "reply") {
          // The agent of this test asks nothing.
          expect([code, stderr], text).toEqual([2, expect.stringContaining("request")]);
        } else {
          // Ctrl-C ended the watch.
          expect(code, text).toBe(args[0] === "watch" ? 130 : 0);
        }
        const [session] = /\bses_\w+/.exec(stdout + stderr) ?? [];
        if (args[0] === "prompt" && session !== undefined)
          values["<session>"] = values["<message, workflow or session>"] = session;
      }
      expect(existsSync(join(scratch, "exported"))).toBe(true);
    }, 300_000);
  });
});

describe("the broker", () => {
  const ofBroker = commands.filter(isBroker);
  const local = ofBroker.find(({ words }) => !words.includes("--driver"));

  test("has each option", async () => {
    const { stdout } = await run(process.execPath, [join(ROOT, "packages/sandbox/src/bin.ts"), "--help"]);
    const options = ofBroker
      .flatMap(({ words }) => words.slice(2, words.indexOf("--")))
      .filter((word) => word.startsWith("--"));
    expect(options).toContain("--driver");
    expect(options.filter((option) => !stdout.includes(option))).toEqual([]);
  });

  test("starts as the documents say, answers the health check, and drains and ends by its signals", async () => {
    const args = (local?.words ?? []).slice(1).map((word) =>
      word
        .replace("$PWD", ROOT)
        .replace("/var/lib/valet/broker", join(scratch, "broker"))
        .replace(/^8790$/, "0"),
    );
    const { stdout: secret } = await run("openssl", ["rand", "-hex", "24"]);
    const env = { PATH: process.env.PATH, VALET_BROKER_SECRET: secret.trim() };
    const broker = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => void broker.kill("SIGKILL"));
    const [line] = await once(createInterface(broker.stdout), "line");
    const { url } = JSON.parse(line);
    const health = async () => JSON.parse((await run("curl", ["--fail", "--silent", `${url}/v1/health`])).stdout);
    expect(await health()).toEqual({
      status: "ok",
      driver: "local",
      awake: 0,
      isolation: expect.stringMatching(/^(?:bwrap|none)$/),
      network: expect.stringMatching(/^(?:own|shared)$/),
      limits: expect.objectContaining({ open_files: expect.anything() }),
      isDraining: false,
    });
    const [kill] = /(?<=^ExecReload=\/bin\/kill )-\S+/m.exec(read("docs/systemd/valet-broker.service")) ?? [];
    await run("kill", [kill ?? "", String(broker.pid)]);
    await expect.poll(health).toMatchObject({ isDraining: true });
    broker.kill("SIGTERM");
    expect(await once(broker, "exit")).toEqual([0, null]);
  }, 60_000);
});

describe.each(UNITS)("the unit %s", (unit) => {
  const text = read(`docs/systemd/${unit}`).replaceAll("/opt/valet", ROOT);
  const exec = toWords(/^ExecStart=((?:.*\\\n)*.*)$/m.exec(text)?.[1] ?? "");

  test("starts programs that exist, with options that they know", async () => {
    expect(exec.filter((word) => word.startsWith(ROOT)).filter((path) => !existsSync(path))).toEqual([]);
    const [, program = "", ...args] = exec;
    const { stdout } = await run(process.execPath, program === CLI ? [program, "up", "--help"] : [program, "--help"]);
    const end = args.indexOf("--");
    const options = args.slice(0, end === -1 ? args.length : end).filter((word) => word.startsWith("--"));
    expect(options.length).toBeGreaterThan(0);
    expect(options.filter((option) => !stdout.includes(option))).toEqual([]);
  });

  test.skipIf(!existsSync("/usr/bin/systemd-analyze"))("is one that systemd accepts", async () => {
    const path = join(scratch, unit);
    writeFileSync(path, text);
    // Newer versions complain about what the machine lacks (a user, a manual) on standard error, too, but exit with 0.
    await run("systemd-analyze", ["verify", path]);
  });
});

function toWords(text: string): string[] {
  return text.replaceAll("\\\n", " ").split(/\s+/).filter(Boolean);
}
