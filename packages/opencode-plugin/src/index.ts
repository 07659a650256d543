/**
 * What OpenCode loads into its own process. It takes every function that this module exports for a plugin, so that there is
 * one export and no other. Without a runner to ask there are no tools; what shells must not see is blank in any case.
 */
import { childSessionTools } from "./child-session-tools.ts";
import { refuseForeignCode } from "./foreign-code.ts";
import { modelContexts } from "./model-contexts.ts";
import { watchProviderCalls } from "./provider-calls.ts";
import { takeAccess, takeBlanks, takeTrust } from "./runner-access.ts";

const access = takeAccess(process.env);
const blanks = takeBlanks(process.env);
if (!takeTrust(process.env)) refuseForeignCode();

const contexts = access === undefined ? undefined : modelContexts(access);
const noteCall = access === undefined ? undefined : watchProviderCalls(access);

type HeadersInput = Parameters<NonNullable<typeof noteCall>>[0] &
  Parameters<NonNullable<typeof contexts>["headers"]>[0];

export const ValetPlugin = async () => ({
  ...(contexts !== undefined && { event: contexts.event }),
  "chat.headers": async (input: HeadersInput, output: { headers: Record<string, string> }) => {
    await noteCall?.(input, output);
    await contexts?.headers(input, output);
  },
  ...(access !== undefined && { tool: childSessionTools(access) }),
  "shell.env": async (_input: unknown, output: { env: Record<string, string | undefined> }) => {
    Object.assign(output.env, blanks);
  },
});
