/** Workflows: lists of steps that the runner executes in order, and the states of steps. */
import { z } from "zod";
import { MAX_FIGURE } from "./amounts.ts";

export const MAX_WORKFLOW_STEPS = 50;
/** The largest stored output of a step, in UTF-16 code units. Of a longer output the end is stored. */
export const MAX_STEP_OUTPUT = 16 * 1024;
/** The longest command, in UTF-16 code units: in any script it fits into one argument of a process (128 KiB). */
const MAX_COMMAND = 32 * 1024;
const MAX_PROMPT = 200_000;

const name = z.string().min(1).max(128);

/** A prompt to the agent. The step's output is the agent's answer. */
export const PromptStep = z.object({ name, prompt: z.string().min(1).max(MAX_PROMPT) });
/** A shell command in the workspace. The step's output is what the command writes. */
export const CommandStep = z.object({
  name,
  run: z
    .string()
    .min(1)
    .max(MAX_COMMAND)
    .refine((text) => !text.includes("\0"), "contains a NUL character"),
});
export const WorkflowStep = z.union([PromptStep, CommandStep]);
export type WorkflowStep = z.infer<typeof WorkflowStep>;

/** The place of a step in its workflow, from 0. */
export const stepIndex = z
  .number()
  .int()
  .min(0)
  .max(MAX_WORKFLOW_STEPS - 1);

/** The state of a step, as the runner reports it. */
export const WorkflowStepState = z.object({
  index: stepIndex,
  status: z.enum(["running", "done"]),
  /** Present with the status `done`. `lost`: the runner died while the step was running. */
  outcome: z.enum(["ok", "error", "aborted", "skipped", "lost"]).optional(),
  errorType: z.string().max(64).optional(),
  /** If every model failed for a prompt: why the last one failed, and its name. */
  cause: z.string().max(64).optional(),
  causeOf: z.string().max(200).optional(),
  /** The exit code of a command that ended by itself. */
  exitCode: z.number().int().optional(),
  /** The name of the signal that killed a command. */
  signal: z.string().max(16).optional(),
  /** The agent's answer, or what the command wrote. */
  output: z.string().max(MAX_STEP_OUTPUT).optional(),
  /** Nonsense is unknown, so that it loses no step. */
  durationMs: z.number().nonnegative().max(MAX_FIGURE).optional().catch(undefined),
});
export type WorkflowStepState = z.infer<typeof WorkflowStepState>;

/** Returns whether a step is a prompt or a command. */
export function stepType(step: WorkflowStep): "prompt" | "command" {
  return "prompt" in step ? "prompt" : "command";
}
