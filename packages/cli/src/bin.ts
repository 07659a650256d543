#!/usr/bin/env node
import { showFailure } from "./failure.ts";
import { surviveOutputErrors } from "./output.ts";
import { asksForJson, runProgram } from "./run-program.ts";

const args = process.argv.slice(2);

surviveOutputErrors();
process.on("uncaughtException", (error) => {
  process.exit(showFailure(error, asksForJson(args)));
});
process.exitCode = await runProgram(args);
