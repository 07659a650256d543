/** Verdicts and views without what people, models and tools said, for everything outside of the session's own store. Pure. */
import type { SessionView } from "../../protocol/session-view.ts";
import type { VerdictView } from "../../protocol/verdict.ts";

/** First sentences of failures: they name error types only, and what follows may quote a log. */
const NO_SANDBOX = /^The session has no sandbox, and none could be started: `\w+`(?:, because of `\w+`)?\./;
const JOB_FAILED = /^The last \w+ failed with `\w+`(?:, because of `\w+`)?\./;

/**
 * Returns the sentence of a verdict without content of the conversation: the question that was asked, the command that needs
 * permission, and lines of logs that explain a failure. All other sentences hold ids, limits, and names of tools and models only.
 */
export function whyWithoutContent({ rule, why }: Pick<VerdictView, "rule" | "why">): string {
  switch (rule) {
    case "question_asked":
      return "The agent asks a question.";
    case "permission_asked":
      return "The agent asks for permission.";
    case "session_error":
      return NO_SANDBOX.exec(why)?.[0] ?? "The session has no sandbox, and none could be started.";
    case "job_failed":
      return JOB_FAILED.exec(why)?.[0] ?? "The last job failed.";
    case "sandbox_lost":
      return "The sandbox was lost and is being replaced.";
    default:
      return why;
  }
}

/**
 * Returns a session's view as the database may keep it: of open requests to a person it has the ids, kinds and numbers, and not what is
 * asked. The session itself tells that.
 */
export function viewWithoutContent(view: SessionView): SessionView {
  const { attention, permissions, questions } = view;
  return {
    ...view,
    permissions: permissions.map((asked) => ({ ...asked, detail: "" })),
    questions: questions.map((asked) => ({
      ...asked,
      questions: asked.questions.map(() => ({ question: "", header: "", options: [] })),
    })),
    ...(attention !== undefined && { attention: { ...attention, why: whyWithoutContent(attention) } }),
  };
}
