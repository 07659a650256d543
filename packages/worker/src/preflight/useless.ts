/** What a session could not work with, as far as that is known before it has a sandbox. */
import type { CreateSession } from "@valet/shared/protocol/session-api";
import type { Env } from "../bindings.ts";
import { parseConfig } from "../config.ts";
import { refuseFileRepository } from "./file-repository.ts";
import { type Refusal, refuseModels } from "./models.ts";
import { refuseRepository } from "./repository.ts";

/** Returns why the session's models and its repository cannot work; empty if they may. Takes some seconds at most. */
export async function findUseless(env: Env, input: CreateSession): Promise<readonly Refusal[]> {
  const refusals = await Promise.all([
    refuseModels(input, parseConfig(env).modelAccess),
    refuseRepository(input, env),
    refuseFileRepository(input, env),
  ]);
  return refusals.filter((each) => each !== undefined);
}
