#!/usr/bin/env bun
/**
 * The sandbox's entrypoint. It exits with 0 when it was told to stop, and otherwise with a code of sysexits.h: 77 when there is
 * no place for this runner, 78 when it was started wrongly, 74 when its folder cannot be used, 70 for a bug of its own. After 0,
 * 77 and 78 another start would end the same way.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { exceptionType } from "@valet/shared/tracing";
import { Journal } from "./journal.ts";
import { startOpenCodeAgent } from "./opencode-agent.ts";
import { Runner, type RunnerEnd } from "./runner.ts";
import { readInput, readSettings, SettingsError } from "./settings.ts";
import { SpanOutbox } from "./span-outbox.ts";
import { createTracing, runnerResource, type Tracing } from "./tracing.ts";

const EXIT_CODES: Record<RunnerEnd, number> = { stopped: 0, refused: 77 };
const BUG = 70;
const FOLDER_UNUSABLE = 74;
const WRONG_START = 78;
const INPUT_TIMEOUT_MS = 10_000;

const say = (text: string) => console.error(`valet runner: ${text}`);

async function main(): Promise<number> {
  const settings = readSettings(process.env, process.cwd());
  // One context would be that of all the agent's work.
  delete process.env.TRACEPARENT;
  delete process.env.TRACESTATE;
  const { token, restartCount } = await readInput(Bun.stdin.stream(), INPUT_TIMEOUT_MS);
  const instanceId = randomUUID();
  const folder = join(settings.home, ".valet-runner");
  const journal = new Journal(join(folder, "journal.jsonl"), settings.generation);
  let tracing: Tracing | undefined;
  const outbox = new SpanOutbox({
    folder: join(folder, "spans"),
    instanceId,
    resource: runnerResource(settings, instanceId),
    onDropped: (counts) => tracing?.reportDropped(counts),
    onDiskError: (error) => say(`spans are kept in memory only: ${exceptionType(error)}`),
  });
  tracing = createTracing(outbox, settings);
  const runner = new Runner({
    ...{ settings, token, restartCount, instanceId, tracing, outbox, journal, startAgent: startOpenCodeAgent },
    onProblem: say,
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void runner.stop("runner_shutdown"));
  return EXIT_CODES[await runner.run()];
}

// Names of errors only: their texts may quote what people, models and files said.
for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, (error: unknown) => {
    say(`${event}: ${exceptionType(error)}`);
    process.exit(BUG);
  });
}

main().then(
  (code) => process.exit(code),
  (error: NodeJS.ErrnoException) => {
    say(error instanceof SettingsError ? error.message : `its folder cannot be used: ${exceptionType(error)}`);
    process.exit(error instanceof SettingsError ? WRONG_START : FOLDER_UNUSABLE);
  },
);
