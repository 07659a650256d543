/** The plugin for tests of contexts: a runner that is paused with its machine is waited for. */
import { LIMITS } from "@valet/shared/limits";
import { makePlugin } from "../src/plugin.ts";

export const ValetPlugin = makePlugin({ hookMs: LIMITS.callPermitMs });
