/**
 * What OpenCode loads into its own process. It takes every function that this module exports for a plugin, so that there is
 * one export and no other. Without a runner to ask there are no tools.
 */
import { childSessionTools } from "./child-session-tools.ts";
import { takeAccess } from "./runner-access.ts";

const access = takeAccess(process.env);

export const ValetPlugin = async () => (access === undefined ? {} : { tool: childSessionTools(access) });
