/** The plugin for tests of an OpenCode whose provider may be silent for a second only. */
import { LIMITS } from "@valet/shared/limits";
import { makePlugin } from "../src/plugin.ts";

export const ValetPlugin = makePlugin({ silenceMs: 1_000, hookMs: LIMITS.callPermitMs });
