/** Composes what a session tells outside itself: its rows in D1, and the events of webhooks that follow from them. */
import { viewWithoutContent } from "@valet/shared/answers/verdict/without-content";
import type { SessionView } from "@valet/shared/protocol/session-view";
import type { Env } from "../bindings.ts";
import { post } from "../webhooks/post.ts";
import type { WhyAnswer } from "./answers/why-answer.ts";
import type { DurableCallOptions } from "./core/durable-call.ts";
import type { SessionState } from "./core/session-state.ts";
import { Notices, type NoticesOptions } from "./notices/notices.ts";
import { ProjectionOutbox } from "./projection/projection-outbox.ts";
import type { JobStore } from "./queue/job-store.ts";

export interface ProjectionCompositionOptions extends DurableCallOptions, Pick<NoticesOptions, "keys"> {
  readonly env: Env;
  readonly state: SessionState;
  readonly jobs: Pick<JobStore, "job">;
  readonly whyAnswer: Pick<WhyAnswer, "of">;
  readonly view: () => SessionView;
  readonly captureContent: boolean;
}

export function composeProjection(options: ProjectionCompositionOptions) {
  const { env, state, jobs, whyAnswer, view, captureContent } = options;
  const outbox: ProjectionOutbox = new ProjectionOutbox({
    ...options,
    db: env.DB,
    session: () => ({
      ownerId: state.record.ownerId,
      view: captureContent ? view() : viewWithoutContent(view()),
    }),
    status: () => state.record.state,
    sentence: (turn) => notices.sentence(turn),
    onWritten: (written) => notices.projected(written),
  });
  const notices = new Notices({
    ...options,
    db: env.DB,
    why: async (jobId) => {
      const job = jobs.job(jobId);
      return job && (await whyAnswer.of(job)).sentence;
    },
    post: (posting) => post(env, posting),
  });
  return { outbox, notices };
}
