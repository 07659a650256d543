/** The parts of the agent's answer. */
import { z } from "zod";

export const PartId = z.string().min(1).max(128);

/** A part of the agent's answer, as the conversation stores it. */
export const MessagePart = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text"), id: PartId, text: z.string() }),
  z.object({ type: z.literal("reasoning"), id: PartId, text: z.string() }),
  z.object({
    type: z.literal("tool"),
    id: PartId,
    tool: z.string().max(200),
    status: z.enum(["pending", "running", "completed", "error"]),
    title: z.string().max(2000).optional(),
    /** Truncated if long. */
    input: z.string().optional(),
    output: z.string().optional(),
    /** The call's span, in the trace of its message. Absent if the runner is older, as are the following. */
    spanId: z.string().max(64).optional(),
    /** When it began; absent until then. */
    startedAt: z.iso.datetime().optional(),
    /** From its start to its end; absent until then. */
    duration_ms: z.number().nonnegative().optional(),
    /** The exit code of the command that it ran; absent for other tools. */
    exitCode: z.int().optional(),
    /** Why it failed, as on its span; also of a call that the agent reports as a success. Absent if it did not, or a person refused it. */
    errorType: z.enum(["tool_failed", "tool_call_invalid", "tool_timeout"]).optional(),
  }),
]);
export type MessagePart = z.infer<typeof MessagePart>;
