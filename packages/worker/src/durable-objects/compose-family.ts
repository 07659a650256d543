/** Composes what a session's object does for its family: the children that its agent spawns, and the reports to its parent. */
import type { Env } from "../bindings.ts";
import { allowsFileRepos } from "../config.ts";
import { findUseless } from "../preflight/useless.ts";
import type { Conversation } from "./conversation/conversation.ts";
import type { TurnRecords } from "./conversation/turn-records.ts";
import { MAIN_CHANNEL } from "./core/limits.ts";
import { originOfSession } from "./core/session-state.ts";
import type { SessionCredentials } from "./credentials/session-credentials.ts";
import { ChildSessions, type ChildSessionsOptions } from "./family/child-sessions.ts";
import type { FamilyOptions } from "./family/family-options.ts";
import { ParentReports, type ParentReportsOptions } from "./family/parent-reports.ts";
import type { JobStore } from "./queue/job-store.ts";

export interface FamilyCompositionOptions
  extends FamilyOptions,
    Pick<ChildSessionsOptions, "isOwnTrace" | "respond">,
    Pick<ParentReportsOptions, "work" | "boundary"> {
  readonly env: Env;
  readonly jobs: JobStore;
  readonly conversation: Conversation;
  readonly records: TurnRecords;
  readonly credentials: SessionCredentials;
}

export function composeFamily(options: FamilyCompositionOptions) {
  const { env, state, jobs, conversation, records, credentials } = options;
  const children = new ChildSessions({
    ...options,
    db: env.DB,
    allowsFileRepos: allowsFileRepos(env),
    openCredentials: () => credentials.openForClone(),
    findUseless: (input) => findUseless(env, input),
    channelOf: (attemptId) => jobs.attempt(attemptId ?? "")?.channel ?? MAIN_CHANNEL,
    userOf: (attemptId) => {
      const [jobId = ""] = jobs.attempt(attemptId ?? "")?.jobIds ?? [];
      return jobs.job(jobId)?.userId ?? originOfSession(state.record).userId;
    },
  });
  const reports = new ParentReports({ ...options, answers: conversation, costs: records });
  return { children, reports };
}
