#!/usr/bin/env node
import { showFailure } from "./failure.ts";
import { surviveOutputErrors } from "./output.ts";
import { createProgram, withoutVainHelp } from "./program.ts";

const args = process.argv.slice(2);
const end = args.indexOf("--");
const isJson = args.slice(0, end < 0 ? undefined : end).includes("--json");

surviveOutputErrors();
process.on("uncaughtException", (error) => {
  process.exit(showFailure(error, isJson));
});
const program = createProgram(isJson);
try {
  await program.parseAsync(withoutVainHelp(program, args), { from: "user" });
} catch (error) {
  process.exitCode = showFailure(error, isJson);
}
