/**
 * Refuses a repository that cannot be cloned, before a session and its sandbox exist for it. Only a host's own answer refuses: if
 * it is away or slow, or takes another protocol than https, the sandbox finds out.
 */
import { isPublicHost } from "@valet/shared/http/public-address";
import { splitUserInfo, type UserInfo } from "@valet/shared/protocol/repo-url";
import type { CreateSession } from "@valet/shared/protocol/session-api";
import { ERRORS } from "@valet/shared/spans";
import type { Env } from "../bindings.ts";
import { allowsPrivateHosts } from "../config.ts";
import { throughEgress } from "../public-egress.ts";
import type { Refusal } from "./models.ts";
import { advertisedRefs, isGitAdvertisement, lsRefsRequest, readBounded } from "./smart-http.ts";

/** The host's answers are waited for this long, in ms. */
const HOST_LIMIT_MS = 3000;

type RepositoryError = "git_not_found" | "git_auth_failed" | "git_not_a_repository" | "git_ref_not_found";

/** Returns why the session's repository cannot be cloned, as far as its host says so. */
export async function refuseRepository({ repoUrl, branch }: CreateSession, env: Env): Promise<Refusal | undefined> {
  const { url, userInfo } = splitUserInfo(repoUrl ?? "");
  const parsed = URL.parse(url);
  if (parsed?.protocol !== "https:") return undefined;
  // What the Worker says about a host must not tell an owner what is in the Worker's own network.
  if (!isPublicHost(parsed.hostname) && !allowsPrivateHosts(env)) return undefined;
  const problem = await askHost(env, url.replace(/\/$/, ""), userInfo, branch).catch(() => undefined);
  return problem && refusalOf(problem);
}

/** Returns the refusal for an error that the clone would end with. */
export function refusalOf(type: RepositoryError): Refusal {
  const { meaning, remedy } = ERRORS[type];
  return { path: type === "git_ref_not_found" ? "branch" : "repoUrl", message: `${meaning}. ${remedy ?? ""}`.trim() };
}

async function askHost(
  env: Env,
  url: string,
  userInfo: UserInfo | undefined,
  branch: string | undefined,
): Promise<RepositoryError | undefined> {
  const init: Question = {
    method: "GET",
    headers: {
      "git-protocol": "version=2",
      "user-agent": "git/2.0 (valet)",
      ...(userInfo !== undefined && { authorization: `Basic ${basic(userInfo)}` }),
    },
    signal: AbortSignal.timeout(HOST_LIMIT_MS),
  };
  const { status, contentType, text } = await ask(env, `${url}/info/refs?service=git-upload-pack`, init);
  if (status === 401) return "git_auth_failed";
  if (status === 404 || status === 410) return "git_not_found";
  if (status !== 200) return undefined;
  if (!isGitAdvertisement(contentType, text)) return "git_not_a_repository";
  if (branch === undefined || !text.includes("version 2")) return undefined;

  const answer = await ask(env, `${url}/git-upload-pack`, {
    ...init,
    method: "POST",
    headers: { ...init.headers, "content-type": "application/x-git-upload-pack-request" },
    body: lsRefsRequest([`refs/heads/${branch}`, `refs/tags/${branch}`]),
  });
  const refs = answer.status === 200 ? advertisedRefs(answer.text) : undefined;
  if (refs === undefined) return undefined;
  return [`refs/heads/${branch}`, `refs/tags/${branch}`].some((ref) => refs.includes(ref))
    ? undefined
    : "git_ref_not_found";
}

interface Question {
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

interface HostAnswer {
  readonly status: number;
  readonly contentType: string | null;
  readonly text: string;
}

/** Asks a host. A redirect is not followed: git follows it, and the credentials are for this host alone. Rejects without an answer. */
async function ask({ PUBLIC_EGRESS: egress }: Env, url: string, question: Question): Promise<HostAnswer> {
  if (egress !== undefined) {
    const answer = await throughEgress(egress, "git", url, question);
    if ("error" in answer) throw new Error(answer.error);
    return answer;
  }
  const response = await fetch(url, { ...question, redirect: "manual" });
  const contentType = response.headers.get("content-type");
  return { status: response.status, contentType, text: await readBounded(response) };
}

function basic({ username, password }: UserInfo): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(`${username}:${password}`)));
}
