/** A verdict's sentence without what people, models and tools said, for receivers outside of Valet. Pure. */
import type { VerdictView } from "../../protocol/verdict.ts";

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
      return "The session has no sandbox, and none could be started.";
    case "job_failed":
      return /^The last \w+ failed with `\w+`\./.exec(why)?.[0] ?? "The last job failed.";
    case "sandbox_lost":
      return "The sandbox was lost, and is replaced.";
    default:
      return why;
  }
}
