/** The variables by which the runner tells Valet's code in OpenCode's process what to do. That code takes them out of the environment. */

/** The runner's address for the tools, and the secret that they send to it. */
export const TOOLS_URL_VARIABLE = "VALET_TOOLS_URL";
export const TOOLS_SECRET_VARIABLE = "VALET_TOOLS_SECRET";
/** Comma-separated names of the variables that are removed from the environment of the agent's child processes. */
export const SECRET_VARIABLES_VARIABLE = "VALET_SECRET_VARIABLES";
/**
 * Path of a file that gets longer whenever the runner decides to refuse model calls. As long as its size is what it was before a
 * permit was requested, the permit is valid.
 */
export const REFUSALS_FILE_VARIABLE = "VALET_REFUSALS_FILE";
/** `1` if the session trusts its repository: the repository's code may run in the agent's process. */
export const TRUST_VARIABLE = "VALET_TRUSTS_REPOSITORY";
/** Contains `1` if OpenCode must hide its memory and environment from the commands of its tools. */
export const HIDE_PROCESS_VARIABLE = "VALET_HIDE_PROCESS";
/** Bun's: a file that runs in a process before its program. In OpenCode's it is Valet's. */
export const PRELOAD_VARIABLE = "BUN_INSPECT_PRELOAD";
