// Runs benchmarks: `pnpm bench --help`.
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { bill } from "./bill/suite.ts";
import { explorer } from "./explorer/suite.ts";
import { runtimeVersion } from "./lib/runtime.ts";
import type { Runtime, Suite } from "./lib/suite.ts";
import { formatTable, isMissed } from "./lib/table.ts";
import { longSession } from "./long-session/suite.ts";
import { session } from "./session/suite.ts";
import { tracePlane } from "./trace-plane/suite.ts";
import { tracer } from "./tracer/suite.ts";

const suites: readonly Suite[] = [tracer, tracePlane, session, longSession, bill, explorer];

const HELP = `Usage: pnpm bench [suite…] [options]

Runs the named suites, or all of them, and prints ours beside theirs.

Suites:
${suites.map(({ name, summary }) => `  ${name.padEnd(16)}${summary}`).join("\n")}

Options:
  --runtime NAME  only node or only bun; may be repeated; both unless given
  --json          one JSON document with every sample instead of the tables
  --check         exit with status 1 if a bound is missed
  --quick         few and short rounds: a proof that it runs, not a measurement
  --help          this text
`;

class UsageError extends Error {}

function readArguments(args: string[]) {
  const { values, positionals } = parse(args);
  const runtimes = [...new Set(values.runtime ?? ["node", "bun"])];
  for (const runtime of runtimes) {
    if (runtime !== "node" && runtime !== "bun") throw new UsageError(`--runtime ${runtime}: "node" or "bun"`);
  }
  const names = positionals.length > 0 ? positionals : suites.map(({ name }) => name);
  const chosen = names.map((name) => {
    const suite = suites.find((each) => each.name === name);
    if (suite === undefined) throw new UsageError(`no suite is named "${name}"`);
    return suite;
  });
  return { ...values, runtimes: runtimes as Runtime[], chosen };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        runtime: { type: "string", multiple: true },
        json: { type: "boolean", default: false },
        check: { type: "boolean", default: false },
        quick: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

async function main(args: string[]): Promise<number> {
  const { runtimes, quick, json, check, help, chosen } = readArguments(args);
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  const startedAt = new Date();
  const [cpu] = cpus();
  const machine = { cpu: cpu?.model.trim() ?? "unknown", cores: cpus().length, loadAverage: loadavg()[0] };
  const versions = Object.fromEntries(
    await Promise.all(runtimes.map(async (runtime) => [runtime, await runtimeVersion(runtime)])),
  );
  const results = [];
  for (const suite of chosen) {
    const progress = (line: string) => console.error(`${suite.name}: ${line}`);
    results.push({ suite: suite.name, tables: await suite.run({ runtimes, quick, progress }) });
  }
  const seconds = (Date.now() - startedAt.getTime()) / 1000;
  if (json) {
    const document = { startedAt: startedAt.toISOString(), seconds, quick, machine, versions, results };
    process.stdout.write(`${JSON.stringify(document)}\n`);
  } else {
    const runtimeNames = Object.entries(versions).map(([runtime, version]) => `${runtime} ${version}`);
    process.stdout.write(
      `${startedAt.toISOString()}, ${seconds.toFixed(0)} s, ${machine.cores} × ${machine.cpu}, ` +
        `load ${machine.loadAverage?.toFixed(2)}, ${runtimeNames.join(", ")}${quick ? ", QUICK" : ""}\n`,
    );
    for (const { tables } of results) for (const table of tables) process.stdout.write(`\n${formatTable(table)}\n`);
  }
  const missed = results.flatMap(({ tables }) => tables).flatMap(({ rows }) => rows.filter(isMissed));
  return check && missed.length > 0 ? 1 : 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n\n${HELP}` : error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
