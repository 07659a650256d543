/** Variables in the environments of processes that the runner starts, which all that they start inherits: they tell whose it is. */

/** The agent's process: a value for each start of it. */
export const AGENT_RUN_VARIABLE = "VALET_OPENCODE_RUN";
/** The command of a workflow's step. */
export const STEP_VARIABLE = "VALET_WORKFLOW_STEP";
