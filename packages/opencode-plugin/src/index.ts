/**
 * The plugin that OpenCode loads into its process. OpenCode treats every exported function as a plugin, so this module
 * has a single export. Without a runner the plugin has no tools; the variables that shells must not see are blanked in
 * any case.
 */
import { childSessionTools } from "./child-session-tools.ts";
import { refuseForeignCode } from "./foreign-code.ts";
import { modelContexts } from "./model-contexts.ts";
import { observeProviderCalls } from "./provider-calls.ts";
import { readAccess, readHiddenVariables, readTrust } from "./runner-access.ts";

const access = readAccess(process.env);
const blanks = readHiddenVariables(process.env);
if (!readTrust(process.env)) refuseForeignCode();

const contexts = access === undefined ? undefined : modelContexts(access);
const onModelCall = access === undefined ? undefined : observeProviderCalls(access);

type HeadersInput = Parameters<NonNullable<typeof onModelCall>>[0] &
  Parameters<NonNullable<typeof contexts>["headers"]>[0];

export const ValetPlugin = async () => ({
  ...(contexts !== undefined && { event: contexts.event }),
  "chat.headers": async (input: HeadersInput, output: { headers: Record<string, string> }) => {
    await onModelCall?.(input, output);
    await contexts?.headers(input, output);
  },
  ...(access !== undefined && { tool: childSessionTools(access) }),
  "shell.env": async (_input: unknown, output: { env: Record<string, string | undefined> }) => {
    Object.assign(output.env, blanks);
  },
});
