/** Workflows: lists of steps that the runner executes in order, and how far each step has come. */
import { z } from "zod";

export const MAX_WORKFLOW_STEPS = 50;
/** The most that is kept of what a step gave, in UTF-16 code units: its end, where it gave more. */
export const MAX_STEP_OUTPUT = 16 * 1024;
/** The longest command, in UTF-16 code units: what a process takes as one argument (128 KiB) in any script. */
const MAX_COMMAND = 32 * 1024;
const MAX_PROMPT = 200_000;

const name = z.string().min(1).max(128);

/** Something said to the agent, whose answer is what the step gives. */
export const PromptStep = z.object({ name, prompt: z.string().min(1).max(MAX_PROMPT) });
/** A command for the shell, in the workspace. What it writes is what the step gives. */
export const CommandStep = z.object({
  name,
  run: z
    .string()
    .min(1)
    .max(MAX_COMMAND)
    .refine((text) => !text.includes("\0"), "holds a NUL character"),
});
export const WorkflowStep = z.union([PromptStep, CommandStep]);
export type WorkflowStep = z.infer<typeof WorkflowStep>;

/** How far a step has come, as the runner tells it. */
export const WorkflowStepState = z.object({
  /** Its place in the workflow, from 0. */
  index: z
    .number()
    .int()
    .min(0)
    .max(MAX_WORKFLOW_STEPS - 1),
  status: z.enum(["running", "done"]),
  /** With the status `done`. `lost`: the runner died while it ran. */
  outcome: z.enum(["ok", "error", "aborted", "skipped", "lost"]).optional(),
  errorType: z.string().max(64).optional(),
  /** Of a prompt for which every model failed: why the last one did, and which that was. */
  cause: z.string().max(64).optional(),
  causeOf: z.string().max(200).optional(),
  /** Of a command that ended by itself. */
  exitCode: z.number().int().optional(),
  /** Of a command that a signal killed: its name. */
  signal: z.string().max(16).optional(),
  /** The agent's answer, or what the command wrote. */
  output: z.string().max(MAX_STEP_OUTPUT).optional(),
  durationMs: z.number().nonnegative().optional(),
});
export type WorkflowStepState = z.infer<typeof WorkflowStepState>;

export function stepType(step: WorkflowStep): "prompt" | "command" {
  return "prompt" in step ? "prompt" : "command";
}
