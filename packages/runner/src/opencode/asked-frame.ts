/** Converts the agent's requests to a person into frames. Long texts are visibly cut, since a person decides based on them. */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { cutEnd, head } from "@valet/shared/text";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { AgentEventOf, Question } from "./events.ts";

/** The maximum lengths, in UTF-16 code units, and numbers of items. All together fit into a frame. */
const MAX = {
  permission: 200,
  detail: 4000,
  questions: 10,
  question: 2000,
  header: 200,
  options: 20,
  label: 200,
  text: 500,
};

export function askedFrame(
  { type, properties }: AgentEventOf<"permission.asked"> | AgentEventOf<"question.asked">,
  attemptId: string,
): FromRunnerOf<"permission-asked" | "question-asked"> {
  if (type === "question.asked") {
    const questions = properties.questions.slice(0, MAX.questions).map(cutQuestion);
    return { type: "question-asked", attemptId, questionId: properties.id, questions };
  }
  const { id, permission, patterns, metadata } = properties;
  // Of `a="rm -rf"; $a ~; echo fine` the patterns are `$a ~` and `echo fine`.
  const command = permission === "bash" ? metadata?.command : undefined;
  return {
    type: "permission-asked",
    attemptId,
    permissionId: id,
    permission: head(permission, MAX.permission),
    detail: cutEnd(command || patterns.join("\n"), MAX.detail),
  };
}

function cutQuestion({ question, header, options, multiple }: Question) {
  return {
    question: cutEnd(question, MAX.question),
    header: head(header, MAX.header),
    options: options.slice(0, MAX.options).map(({ label, description }) => {
      return { label: head(label, MAX.label), description: cutEnd(description, MAX.text) };
    }),
    ...withoutUndefined({ multiple }),
  };
}
