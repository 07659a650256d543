/**
 * Runs in OpenCode's process before OpenCode itself does (`BUN_INSPECT_PRELOAD`, which executables made by Bun read, too). OpenCode
 * starts programs with its whole environment, git before it loads any plugin, and an agent can decide what some of them do. So the
 * runner passes secrets by standard input: none is in the environment of this process, and none reaches a child process.
 */
import { readFileSync } from "node:fs";
import { HIDE_PROCESS_VARIABLE, PRELOAD_VARIABLE } from "@valet/shared/protocol/agent-variables";
import { keepFromChildren } from "./child-environment.ts";
import { giveExitCodes } from "./exit-codes.ts";
import { hideProcess } from "./hide-process.ts";
import { withoutAccounts } from "./no-accounts.ts";

// Before the secrets are in its memory. The plugin removes the variable.
if (process.env[HIDE_PROCESS_VARIABLE] === "1") await hideProcess();
delete process.env[PRELOAD_VARIABLE];
const secrets = JSON.parse(readFileSync(0, "utf8")) as Record<string, string>;
Object.assign(process.env, secrets);
keepFromChildren(secrets);
giveExitCodes();
await withoutAccounts();
