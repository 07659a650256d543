/** How git learns, in a shell of the agent or of a workflow's command, for what a commit is made. */
import { z } from "zod";

/** The variable by which the runner tells Valet's plugin the folder of its hooks; absent if commits get no trailers. */
export const COMMIT_HOOKS_VARIABLE = "VALET_COMMIT_HOOKS";

const id = z.string().regex(/^[\w.:-]{1,128}$/);

/** What the trailers of a commit name besides the session. */
export const CommitOrigin = z.object({
  /** The message or the workflow. */
  messageId: id.optional(),
  traceId: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional(),
});
export type CommitOrigin = z.infer<typeof CommitOrigin>;

/**
 * Returns the variables that make git use the hooks in a folder. Settings that the environment has already stay
 * (git-config(1), GIT_CONFIG_COUNT).
 */
export function commitVariables(
  env: Readonly<Record<string, string | undefined>>,
  hooks: string,
  origin: CommitOrigin,
): Record<string, string> {
  const { messageId, traceId } = CommitOrigin.safeParse(origin).data ?? {};
  const { GIT_CONFIG_COUNT: given = "0" } = env;
  const count = /^\d{1,4}$/.test(given) ? Number(given) : 0;
  return {
    GIT_CONFIG_COUNT: String(count + 1),
    [`GIT_CONFIG_KEY_${count}`]: "core.hooksPath",
    [`GIT_CONFIG_VALUE_${count}`]: hooks,
    ...(messageId !== undefined && { VALET_MESSAGE_ID: messageId }),
    ...(traceId !== undefined && { VALET_TRACE_ID: traceId }),
  };
}
