/**
 * The plugin that OpenCode loads into its process. OpenCode treats every exported function as a plugin, so this module
 * has a single export.
 */
import { makePlugin } from "./plugin.ts";

export const ValetPlugin = makePlugin();
