/** Environment variables by which the runner recognises the processes that it started, and all their descendants. */

/** Marks the agent's process. Each start has another value. */
export const AGENT_RUN_VARIABLE = "VALET_OPENCODE_RUN";
/** Marks the command of a workflow's step. */
export const STEP_VARIABLE = "VALET_WORKFLOW_STEP";
