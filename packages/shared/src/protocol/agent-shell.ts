/** What Valet's plugin asks the runner before a shell of the agent starts, in one request: for what it works, and its variables. */
import { z } from "zod";
import { CommitOrigin } from "./commit-trailers.ts";

/**
 * The body of the request: the session of OpenCode and, for the shell of a tool call, the call. OpenCode's hook names no message,
 * so the plugin adds the one that the session works on, if it knows it.
 */
export const ShellRef = z.object({
  opencodeSessionId: z.string().min(1).max(128),
  call: z.object({ messageId: z.string().min(1).max(128), callId: z.string().max(128) }).optional(),
});
export type ShellRef = z.infer<typeof ShellRef>;

/** The answer: what commits name, and the variables of the command's environment. */
export const ShellAnswer = CommitOrigin.extend({
  env: z.record(z.string().regex(/^[A-Z][A-Z0-9_]*$/), z.string().max(8_192)).optional(),
});
export type ShellAnswer = z.infer<typeof ShellAnswer>;
