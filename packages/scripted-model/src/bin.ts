#!/usr/bin/env node
/**
 * The program: `scripted-model --scenario FILE [--port N]`. Serves until SIGINT or SIGTERM; prints `{"url": …}` when it
 * is ready.
 */
import { parseArgs } from "node:util";
import { z } from "zod";
import { loadScenario } from "./scenario.ts";
import { startScriptedModel } from "./server.ts";

const argumentsSchema = z.object({
  scenario: z.string({ error: "--scenario FILE is missing" }),
  port: z.coerce.number().int().min(0).max(65_535).default(0),
});

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { port: { type: "string" }, scenario: { type: "string" } } });
  const { port, scenario } = argumentsSchema.parse(values);
  const model = await startScriptedModel({ port, scenario: await loadScenario(scenario) });
  const stop = () => void model.close();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  process.stdout.write(`${JSON.stringify({ url: model.url })}\n`);
}

main().catch((error: unknown) => {
  console.error(error instanceof z.ZodError ? z.prettifyError(error) : error instanceof Error ? error.message : error);
  process.exitCode = 2;
});
