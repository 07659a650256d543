/** The plugin for tests of an OpenCode whose provider may be silent for a second only. */
import { makePlugin } from "../src/plugin.ts";

export const ValetPlugin = makePlugin(1_000);
