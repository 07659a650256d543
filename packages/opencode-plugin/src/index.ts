/**
 * The plugin that OpenCode loads into its process. OpenCode treats every exported function as a plugin, so this module
 * has a single export. Without a runner the plugin has no tools; the variables that shells must not see are blanked in
 * any case.
 */
import { childSessionTools } from "./child-session-tools.ts";
import { refuseForeignCode } from "./foreign-code.ts";
import { modelCallPermits } from "./model-call-permits.ts";
import { observeProviderCalls } from "./provider-calls.ts";
import { readAccess, readHiddenVariables, readTrust } from "./runner-access.ts";
import { answerWarmUps } from "./warm-up.ts";

const access = readAccess(process.env);
const blanks = readHiddenVariables(process.env);
if (!readTrust(process.env)) refuseForeignCode();

const permits = access === undefined ? undefined : modelCallPermits(access);
const onModelCall = access === undefined ? undefined : observeProviderCalls(access);
const warmUps = answerWarmUps();

type HeadersInput = Parameters<NonNullable<typeof onModelCall>>[0] &
  Parameters<NonNullable<typeof permits>["headers"]>[0] &
  Parameters<typeof warmUps.mark>[0];

export const ValetPlugin = async () => ({
  ...(permits !== undefined && { event: permits.event }),
  "chat.headers": async (input: HeadersInput, output: { headers: Record<string, string> }) => {
    // Neither a request to a provider nor part of a turn.
    if (warmUps.isWarmUp(input)) return warmUps.mark(input, output);
    const permit = await permits?.headers(input, output);
    onModelCall?.(input, output, permit?.isRefused);
  },
  ...(access !== undefined && { tool: childSessionTools(access) }),
  "shell.env": async (_input: unknown, output: { env: Record<string, string | undefined> }) => {
    Object.assign(output.env, blanks);
  },
});
