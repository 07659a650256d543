/** Refuses a repository of the sandboxes' machine that cannot be cloned. The Worker cannot read files there; the broker can. */
import { type CreateSession, isFileUrl } from "@valet/shared/protocol/session-api";
import type { Env } from "../bindings.ts";
import { SandboxBroker } from "../broker/client.ts";
import { parseConfig } from "../config.ts";
import type { Refusal } from "./models.ts";

/** The broker is waited for this long, in ms. Without its answer the repository is taken: the sandbox finds out. */
const BROKER_LIMIT_MS = 2000;

const REFUSALS = {
  not_found: {
    path: "repoUrl",
    message:
      "there is no git repository in this folder of the sandboxes' machine. Check the path, and run `git init` if it is new.",
  },
  no_ref: { path: "branch", message: "the repository has neither a branch nor a tag of this name." },
} as const satisfies Record<string, Refusal>;

/** Returns why the session's `file:` repository cannot be cloned. Asked only where such repositories are allowed. */
export async function refuseFileRepository(
  { id, repoUrl, branch }: CreateSession,
  env: Env,
  send: typeof fetch = (input, init) => fetch(input, init),
): Promise<Refusal | undefined> {
  if (repoUrl === undefined || !isFileUrl(repoUrl)) return undefined;
  const limits = { timeoutMs: BROKER_LIMIT_MS, snapshotMs: BROKER_LIMIT_MS };
  const broker = new SandboxBroker({ ...parseConfig(env).broker, ...limits, fetch: send });
  const asked = { url: repoUrl, ...(branch !== undefined && { branch }) };
  const answer = await broker.checkRepository(asked, { sessionId: id, context: undefined });
  if (!answer.ok || answer.value.state === "ok" || answer.value.state === "unknown") return undefined;
  return REFUSALS[answer.value.state];
}
